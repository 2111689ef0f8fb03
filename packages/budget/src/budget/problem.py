"""What is wrong with a budget: one `Problem` for each broken rule, all of them in a `BudgetError`.

Not for finding problems (check.py, source.py).
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Change = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """One broken rule: its id, the field and its value, the rule with the actual numbers, the fix.

    `change` is a way out as values for fields of `Budget`: the changes of all problems of one
    error, applied together, make a budget that fits; each of `alternatives` can take the place of
    its problem's change. Both are empty where no field is at fault, as with a file that cannot be
    read. `where` says where the value came from, if that is known.
    """

    id: str
    field: str
    value: Any
    rule: str
    fix: str
    change: Change = dataclasses.field(default_factory=dict)
    alternatives: tuple[Change, ...] = ()
    where: str = ""

    @property
    def subject(self) -> str:
        """The rule's id, the value, and where it came from."""
        value = f"{self.field} = {shorten(self.value)}" if self.field else ""
        where = f"({self.where})" if self.where else ""
        return " ".join(filter(None, (self.id, value, where)))

    def __str__(self) -> str:
        return f"{self.subject}: {self.rule}. {self.fix}."


class BudgetError(ValueError):
    """The budget cannot be kept. `problems` has every broken rule, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def shorten(value: Any) -> str:
    """`value` as Python writes it: control characters escaped, cut to what fits a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
