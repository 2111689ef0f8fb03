"""Whether a `Budget` fits: every rule it breaks, each with ways out that are known to work.

Each rule's own check is beside its text, in rules/; here they are asked one after the other. Not
for the limits that follow from a budget that fits (plan.py).
"""

from dataclasses import replace

from budget.fields import FIELDS, Budget
from budget.problem import BudgetError, Change, Problem, shorten
from budget.rule import Refusal, Rule
from budget.rules import TABLE

__all__ = ["BudgetError", "Change", "Problem", "check", "shorten"]

VALUE_CHECKS = [(rule, rule.check_value) for rule in TABLE if rule.check_value]
CHECKS = [(rule, rule.check) for rule in TABLE if rule.check]


def check(budget: Budget) -> tuple[Problem, ...]:
    """Every rule that `budget` breaks; empty if it fits."""
    repair = _repair(budget)
    problems = list(repair.problems.values())
    # A later rule may have moved a value that an earlier one proposed: both name the last one.
    changes = [{name: getattr(repair.mended, name) for name in p.change} for p in problems]
    checked = []
    for index, (problem, change) in enumerate(zip(problems, changes, strict=True)):
        others = [each for place, each in enumerate(changes) if place != index]
        alternatives = tuple(way for way in problem.alternatives if _fits(budget, *others, way))
        fix = "Set " + ", or ".join(map(_assignments, (change, *alternatives)))
        checked.append(replace(problem, fix=fix, change=change, alternatives=alternatives))
    return tuple(checked)


class _Repair:
    """Finds problems and mends them on the way: each rule sees values that the earlier ones accept.

    That is why all changes together are accepted: no rule changes a field in a direction that an
    earlier rule forbids. It also keeps one mistake from being reported as ten.
    """

    def __init__(self, budget: Budget) -> None:
        self.asked = budget
        self.mended = budget
        self.problems: dict[str, Problem] = {}

    def refuse(self, rule: Rule, refusal: Refusal) -> None:
        """Add a problem, and mend the budget with the first of its ways out."""
        change, *alternatives = refusal.ways_out
        self.mended = replace(self.mended, **change)
        name = refusal.field
        earlier = self.problems.get(name)
        if earlier is None:
            value = getattr(self.asked, name)
            self.problems[name] = Problem(
                rule.id, name, value, refusal.rule, "", change, tuple(alternatives)
            )
        else:
            # Out of range as well: one problem for one value, whose fix satisfies both rules.
            self.problems[name] = replace(earlier, change=earlier.change | change, alternatives=())


def _repair(budget: Budget) -> _Repair:
    repair = _Repair(budget)
    for name in FIELDS:
        for rule, check_value in VALUE_CHECKS:
            refusal = check_value(name, getattr(budget, name))
            if refusal:
                repair.refuse(rule, refusal)
    for rule, check_budget in CHECKS:
        refusal = check_budget(repair.mended)
        if refusal:
            repair.refuse(rule, refusal)
    return repair


def _fits(budget: Budget, *changes: Change) -> bool:
    for change in changes:
        budget = replace(budget, **change)
    return not _repair(budget).problems


def _assignments(change: Change) -> str:
    return " and ".join(
        "no [consumers]" if name == "consumers" else f"{name} = {value}"
        for name, value in change.items()
    )
