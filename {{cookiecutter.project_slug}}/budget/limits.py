"""The limits of a budget that fits as rows for a person. Each row is written beside its rule.

Not for showing them (report.py).
"""

from typing import NamedTuple

from budget.fields import Budget
from budget.rule import PARTS
from budget.rules import RULES


class Limit(NamedTuple):
    """One limit, with the rule in the budget's own numbers and what is left ("-": not counted)."""

    name: str
    value: int
    unit: str
    rule_id: str
    rule: str
    enforced_by: str
    left: str


def limits_of(budget: Budget) -> tuple[Limit, ...]:
    """Every limit of `budget`, in the order in which a person reads them."""
    rows = [(row, rule) for rule in RULES.values() for row in rule.rows(budget)]
    rows.sort(key=lambda pair: PARTS.index(pair[0].part))  # stable: within a part by id
    return tuple(
        Limit(row.name, row.value, row.unit, rule.id, row.rule, rule.enforced_by, row.left)
        for row, rule in rows
    )
