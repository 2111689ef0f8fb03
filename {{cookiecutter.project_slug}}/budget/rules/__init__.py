"""The rules of the budget, each in one piece: constants, formulas, check, rows, text and source.

A module holds the rules of one theme, in its tuple `RULES`. To change a rule, edit it there; to add
one, write it there. The letters in the formulas are explained in docs/reference/budget.md, which
`python -m budget --rules` prints.
"""

from budget.rule import Rule
from budget.rules import (
    ages,
    application,
    connections,
    consumers,
    gunicorn,
    hosts,
    nginx,
    reading,
    server,
    timeouts,
)

#: In the order in which a budget is checked: a rule sees values that the rules before it accept.
TABLE: tuple[Rule, ...] = (
    *reading.RULES,
    *application.RULES,
    *timeouts.RULES,
    *ages.RULES,
    *consumers.RULES,
    *connections.RULES,
    *server.RULES,
    *gunicorn.RULES,
    *nginx.RULES,
    *hosts.RULES,
)

#: By id, in the order of their ids.
RULES: dict[str, Rule] = {rule.id: rule for rule in sorted(TABLE, key=lambda rule: rule.id)}

#: The sections of the reference, by the tens of their rules' ids.
SECTIONS = {
    "B00": "Reading the numbers",
    "B01": "What fits together",
    "B02": "Connections",
    "B03": "Age and idleness",
    "B04": "Timeouts",
    "B05": "The database server",
    "B06": "The application host",
}
