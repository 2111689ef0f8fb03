"""The table of rules: that each of them is complete, and stands in one place."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import pytest

from budget import rules
from budget.check import CHECKS
from budget.counting import count, noun
from budget.fields import CHOICES, FIELDS, WORKER_CLASSES, Budget, Consumer, high, low
from budget.plan import BudgetError, Plan, plan
from budget.rule import PARTS, Refusal, Rule
from budget.rules import RULES, SECTIONS, TABLE
from tests.places import REPOSITORY

BUDGETS = (
    Budget(),
    Budget(worker_class="gthread", max_connections=80),
    Budget(worker_class="sync", reloading_hosts=0),
    Budget(sharing="host", extra_hosts=1, consumers=(Consumer(name="celery"),)),
)
every_rule = pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.id)


def test_an_id_belongs_to_one_rule() -> None:
    assert [id for id, uses in Counter(rule.id for rule in TABLE).items() if uses > 1] == []


def test_every_rule_that_a_module_defines_is_in_the_table() -> None:
    modules = [getattr(rules, path.stem) for path in _modules() if path.stem != "__init__"]
    defined = [
        each for module in modules for each in vars(module).values() if isinstance(each, Rule)
    ]
    assert sorted(rule.id for rule in defined) == list(RULES)


@every_rule
def test_a_rule_has_a_section_of_the_reference(rule: Rule) -> None:
    assert re.fullmatch(r"B\d{3}", rule.id)
    assert rule.id[:3] in SECTIONS


@every_rule
def test_a_rule_is_told_in_whole_sentences(rule: Rule) -> None:
    for text in (rule.text, rule.why):
        assert text.endswith(".")
        assert not text.endswith("..")
        assert text.count("`") % 2 == 0
    assert rule.why[0].isupper() or rule.why[0].isdigit()
    assert not rule.source.endswith(".")


@pytest.mark.parametrize(("rule", "check"), CHECKS, ids=lambda each: getattr(each, "id", ""))
def test_a_check_refuses_some_budget_with_changes_of_fields(
    rule: Rule, check: Callable[[Budget], Refusal | None]
) -> None:
    """Each number alone at the ends of its range: somewhere among them each check refuses."""
    budgets = [
        replace(Budget(worker_class=worker_class), **{name: end(name)})
        for name in FIELDS.keys() - CHOICES.keys()
        for end in (low, high)
        for worker_class in WORKER_CLASSES
    ]
    refusals = [refusal for refusal in map(check, budgets) if refusal]
    assert refusals
    for refusal in refusals:
        assert refusal.field in FIELDS
        assert all(way and way.keys() <= FIELDS.keys() for way in refusal.ways_out)


def test_every_attribute_of_a_plan_is_given_by_one_rule_and_of_its_type() -> None:
    given = Counter(name for rule in TABLE for name in rule.gives)
    declared = {name: kind for name, kind in get_type_hints(Plan).items() if name != "budget"}
    assert given == Counter(list(declared))
    for budget in BUDGETS:
        p = plan(budget)
        assert {name: type(getattr(p, name)) for name in declared} == declared


def test_a_plan_says_everything_as_a_dict() -> None:
    p = plan(Budget())
    everything = p.as_dict()
    assert everything.keys() == get_type_hints(Plan).keys() | {"limits", "server_options"}
    assert everything["max_idle"] == p.max_idle


def test_there_is_no_plan_of_a_budget_that_does_not_fit() -> None:
    with pytest.raises(BudgetError, match="B020"):
        Plan(Budget(workers=1000))


def test_every_part_of_the_limits_is_used() -> None:
    used = {row.part for rule in TABLE for row in rule.rows(Budget())}
    assert used == set(PARTS)


@pytest.mark.parametrize("budget", BUDGETS)
def test_limits_are_named_differently_and_by_their_own_rule(budget: Budget) -> None:
    limits = plan(budget).limits
    assert max(Counter(limit.name for limit in limits).values()) == 1
    for limit in limits:
        rule = RULES[limit.rule_id]
        assert limit.enforced_by == rule.enforced_by
        assert limit.name in [row.name for row in rule.rows(budget)]


def test_every_rule_that_is_mentioned_anywhere_exists() -> None:
    files = [*_modules(), *(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md"]
    mentioned = {id for path in files for id in re.findall(r"\bB0\d\d\b", path.read_text("utf-8"))}
    assert mentioned >= set(RULES)
    assert mentioned - set(RULES) == set()


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [
        (1, "hosts", "1 host"),
        (0, "hosts", "0 hosts"),
        (2, "hosts", "2 hosts"),
        (1, "s", "1 s"),
        (1, "processes", "1 process"),
    ],
)
def test_a_number_has_the_noun_that_belongs_to_it(number: int, nouns: str, text: str) -> None:
    assert count(number, nouns) == text
    assert noun(number, nouns) == text.split()[1]


@pytest.mark.parametrize("sharing", CHOICES["sharing"])
def test_no_limit_counts_one_in_the_plural(sharing: str) -> None:
    smallest = Budget(
        max_connections=20,
        workers=1,
        reloading_hosts=0,
        worker_class="gthread",
        threads=1,
        conn_max_age=1,
        sharing=sharing,
        consumers=(Consumer(name="cron"), Consumer(name="mail", machines=1)),
    )
    for limit in plan(smallest).limits:
        assert not re.search(r"\b1 \w+[^\Ws]s\b", f"{limit.rule}; {limit.left}"), limit


def _modules() -> list[Path]:
    return list(Path(rules.__file__).parent.glob("*.py"))
