"""What a rule of the budget consists of. The rules themselves are in rules/.

Everything that a rule computes it computes from a `Budget` alone. A formula that builds on another
rule's calls that rule's formula.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from budget.fields import Budget
from budget.problem import Change

#: Whose limits the rows of a report are, in the order in which a person reads them.
PARTS = (
    "connections",
    "ages",
    "timeouts",
    "database server",
    "listen queues",
    "Gunicorn",
    "application host",
    "nginx",
    "deployment",
)


class Refusal(NamedTuple):
    """A rule is broken: the field at fault, the rule in the budget's numbers, what would do.

    The first of `ways_out` is what the rules after it see. It must not undo what a rule before it
    has asked for; then all first ways out together make a budget that fits. Later ones are
    alternatives: `budget.check.check` names only those that it has tried.
    """

    field: str
    rule: str
    ways_out: tuple[Change, ...]


class Row(NamedTuple):
    """One limit for a report: the rule in the budget's numbers and what is left ("-": uncounted).

    `part` is one of `PARTS`; the rows of one part are printed in the order of their rules' ids.
    """

    part: str
    name: str
    value: int
    unit: str
    rule: str
    left: str = "-"


def no_rows(budget: Budget) -> Iterable[Row]:
    """The rows of a rule that sets no limit."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of the budget: its text, and whatever it computes, checks and prints.

    An `id` is never reused; its tens are the section of the reference. `text`, `why` and `source`
    are Markdown for that page, `source` names what convinced us, `enforced_by` who keeps the rule.

    `gives` are formulas by the name of the `Plan`'s attribute, `server_options` by the name of an
    option of mysqld. `check_value` sees each field and its value, before `check` sees the budget
    with all values in range.
    """

    id: str
    title: str
    text: str
    why: str
    source: str
    enforced_by: str
    gives: Mapping[str, Callable[[Budget], int | str]] = field(default_factory=dict)
    check_value: Callable[[str, Any], Refusal | None] | None = None
    check: Callable[[Budget], Refusal | None] | None = None
    rows: Callable[[Budget], Iterable[Row]] = no_rows
    server_options: Mapping[str, Callable[[Budget], int | str]] = field(default_factory=dict)
