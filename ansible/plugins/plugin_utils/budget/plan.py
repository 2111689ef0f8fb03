"""A `Budget` goes in, a `Plan` with every limit that follows from it comes out.

The formulas are in rules/, each beside the text of its rule. Not for reading files or the
environment (source.py), nor for showing anything (report.py).
"""

from dataclasses import asdict, dataclass
from typing import Any

from budget.check import BudgetError, Problem, check
from budget.fields import Budget, Consumer
from budget.limits import Limit, limits_of
from budget.rules import RULES, TABLE
from budget.rules.ages import AgeLimits
from budget.rules.connections import ConnectionLimits
from budget.rules.consumers import ConsumerLimits
from budget.rules.gunicorn import GunicornLimits
from budget.rules.hosts import HostLimits
from budget.rules.nginx import NginxLimits
from budget.rules.server import ServerLimits
from budget.rules.timeouts import TimeoutLimits

__all__ = ["Budget", "BudgetError", "Limit", "Plan", "Problem", "check", "plan"]


@dataclass(frozen=True)
class Plan(
    ConnectionLimits,
    ConsumerLimits,
    AgeLimits,
    TimeoutLimits,
    ServerLimits,
    GunicornLimits,
    NginxLimits,
    HostLimits,
):
    """Everything that follows from a `budget` that fits. Times are in seconds, memory in MiB.

    The attributes of each base class are declared beside the rules that give them. Raises
    BudgetError if the budget does not fit, so there is no Plan that cannot be kept.
    """

    budget: Budget

    def __post_init__(self) -> None:
        problems = check(self.budget)
        if problems:
            raise BudgetError(problems)
        # Not by setattr(), which a frozen class forbids to everybody.
        vars(self).update(
            {name: give(self.budget) for rule in TABLE for name, give in rule.gives.items()}
        )

    @property
    def consumers(self) -> dict[str, Consumer]:
        """What is promised to whom, by the name of the consumer."""
        return {consumer.name: consumer for consumer in self.budget.consumers}

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Every limit with its rule in numbers, in the order in which a person reads them."""
        return limits_of(self.budget)

    def server_options(self) -> dict[str, str]:
        """Options of mysqld and mariadbd (both know these names), as they are written in my.cnf."""
        return {
            name: str(give(self.budget))
            for rule in RULES.values()
            for name, give in rule.server_options.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, limits and server options included, in types that JSON knows."""
        given = [name for part in Plan.__bases__ for name in part.__annotations__]
        return {
            "budget": asdict(self.budget),
            **{name: getattr(self, name) for name in given},
            "limits": [limit._asdict() for limit in self.limits],
            "server_options": self.server_options(),
        }


def plan(budget: Budget) -> Plan:
    """Everything that follows from `budget`.

    Raises BudgetError, which names every broken rule and what would do, if it does not fit.
    """
    return Plan(budget)
