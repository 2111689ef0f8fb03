"""Each answer alone: what is refused, and that what would do really does."""

import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from budget.check import check
from budget.fields import FIELDS, WORKER_CLASSES, Budget, high, low
from budget.source import load
from hooks.answers import BUDGET_FIELDS, SLUG_MAX, unknown_arguments, wrong_answers
from tests.places import REPOSITORY, TEMPLATE

PROMPTS = json.loads((REPOSITORY / "cookiecutter.json").read_text(encoding="utf-8"))
TEMPLATE_NAMES = {path.stem for path in TEMPLATE.iterdir()}
GOOD = {
    name: value[0] if isinstance(value, list) else value
    for name, value in PROMPTS.items()
    if not name.startswith("_")
} | {"project_slug": "my_project", "memory_mb": "2048"}

# Ends of strings, of comments and of templates in all languages that answers are written into.
# The last two are what the linter of a generated project takes for a path and an address.
HOSTILE = [
    "a\nb", "a\r\nb", "tab\there", "nul\0", "esc\x1b[31m", "\u202egnp.exe", "\u2028", "\ud800",
    "a'''b", 'a"""b', "\\", "a\\", "{{ 7 * 7 }}", "{% raw %}", "{# x", "${HOME}", "$(id)", "`id`",
    "<script>", '"', " x", "x ", "", "   ", "---", "x" * 61, "書" * 31, "/tmp/x", "0.0.0.0",
]  # fmt: skip


def wrong(**answers: Any) -> dict[str, str]:
    """Prompt -> rule of every wrong answer among the good ones and `answers`."""
    found = wrong_answers(GOOD | answers, PROMPTS, TEMPLATE_NAMES)
    return {each.prompt: each.rule for each in found}


def test_the_defaults_are_good_answers() -> None:
    assert wrong() == {}


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("prompt", ["project_name", "author_name", "author_email", "project_slug"])
def test_hostile_text_is_refused(prompt: str, value: str) -> None:
    assert list(wrong(**{prompt: value})) == [prompt]


@pytest.mark.parametrize(
    "value", ["My Project", "Größe 2", "AT&T", "O'Brien (Ltd.)", "商" * 30, "x"]
)
def test_names_of_people_and_things_are_accepted(value: str) -> None:
    assert wrong(project_name=value, author_name=value) == {}


@pytest.mark.parametrize(
    "value", ["a@b", "o'brien+x@mail.example.com", "a.b@xn--bcher-kva.example"]
)
def test_addresses_are_accepted(value: str) -> None:
    assert wrong(author_email=value) == {}


@pytest.mark.parametrize(
    "value", ["a", "@b", "a@", "a b@c", "a@b@c", "a@b..c", "é@b.c", "a@-b", "<a@b>"]
)
def test_what_is_no_address_is_refused(value: str) -> None:
    assert list(wrong(author_email=value)) == ["author_email"]


def test_the_name_of_an_author_has_no_comma() -> None:
    """The specification of pyproject.toml forbids it."""
    assert list(wrong(author_name="Lovelace, Ada")) == ["author_name"]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("My_Project", "lower-case"), ("my-project", "lower-case"), ("2fast", "a letter first"),
        ("_a", "a letter first"), ("a_", "joined by _"), ("a__b", "joined by _"),
        ("größe", "ASCII"),
        ("../x", "ASCII"), ("/tmp/x", "ASCII"), ("a/b", "ASCII"), (".", "ASCII"), (None, "ASCII"),
        ("class", "keyword"), ("import", "keyword"),
        ("json", "standard library"), ("secrets", "standard library"),
        ("django", "the project imports"), ("pymysql", "the project imports"),
        ("jinja2", "installed package"), ("cookiecutter", "installed package"),
        ("config", "every generated project"), ("shop", "every generated project"),
        ("budget", "every generated project"), ("manage", "every generated project"),
        ("mysql", "database server"), ("sys", "database server"), ("root", "database server"),
        ("information_schema", "database server"),
        ("x" * (SLUG_MAX + 1), "longer than 24"),
    ],
)  # fmt: skip
def test_a_slug_that_cannot_name_everything_is_refused(value: Any, rule: str) -> None:
    assert rule in wrong(project_slug=value)["project_slug"]


@pytest.mark.parametrize("value", ["a", "my_project", "shop2", "x" * SLUG_MAX])
def test_a_good_slug_is_accepted(value: str) -> None:
    assert wrong(project_slug=value) == {}


@given(st.text(max_size=40) | st.sampled_from([*TEMPLATE_NAMES, "class", "json", "test", "mysql"]))
def test_the_slug_that_would_do_does(value: str) -> None:
    for each in wrong_answers(GOOD | {"project_slug": value}, PROMPTS, TEMPLATE_NAMES):
        assert wrong(project_slug=each.would_do) == {}


@pytest.mark.parametrize("prompt", [name for name in BUDGET_FIELDS if name != "worker_class"])
@pytest.mark.parametrize("value", ["1e3", "-1", " 5", "5 ", "", "٣", "007", "5.0", None, True])
def test_what_is_no_whole_number_is_refused(prompt: str, value: Any) -> None:
    rules = wrong(**{"worker_class": "gthread", prompt: value})
    assert "must be a whole number from" in rules[prompt]


@pytest.mark.parametrize("prompt", [name for name, value in PROMPTS.items() if type(value) is list])
def test_a_value_that_is_no_choice_is_refused(prompt: str) -> None:
    if not prompt.startswith("_"):
        assert wrong(**{prompt: "eventlet"}) == {prompt: "must be one of the choices"}


def answers_near_the_limits() -> st.SearchStrategy[dict[str, str]]:
    """Numbers that fit about every second time."""
    ceilings = {
        "app_hosts": 9,
        "workers": 9,
        "worker_connections": 120,
        "threads": 99,
        "max_connections": 400,
        "memory_mb": 4096,
        "wait_timeout": 90,
        "conn_max_age": 90,
    }
    numbers = {name: st.integers(0, top).map(str) for name, top in ceilings.items()}
    classes = st.sampled_from(PROMPTS["worker_class"])
    return st.fixed_dictionaries({**numbers, "worker_class": classes})


@given(answers_near_the_limits())
@settings(max_examples=300)
def test_the_first_answers_that_would_do_do_together(answers: dict[str, str]) -> None:
    answers = GOOD | answers
    for each in wrong_answers(answers, PROMPTS, TEMPLATE_NAMES):
        way_out = each.would_do.split(", or ")[0]
        answers |= dict(assignment.split("=") for assignment in way_out.split(" and "))
    assert wrong_answers(answers, PROMPTS, TEMPLATE_NAMES) == []


def test_limits_that_do_not_fit_name_the_smallest_and_the_largest_that_would() -> None:
    answers = GOOD | {"app_hosts": "6", "workers": "8", "max_connections": "60"}
    (each,) = wrong_answers(answers, PROMPTS, TEMPLATE_NAMES)
    assert each.prompt == "max_connections"
    assert each.would_do == "max_connections=67, or workers=7"


def test_conn_max_age_stays_below_wait_timeout() -> None:
    assert "below wait_timeout = 60 by 6 s" in wrong(wait_timeout="60")["conn_max_age"]


@pytest.mark.parametrize(
    ("answers", "prompt"),
    [
        ({"threads": "4"}, "threads"),
        ({"worker_class": "sync", "threads": "4"}, "threads"),
        ({"worker_class": "sync", "worker_connections": "50"}, "worker_connections"),
        ({"worker_class": "gthread", "threads": "101"}, "worker_connections"),
    ],
)
def test_combinations_without_sense_are_refused(answers: dict[str, str], prompt: str) -> None:
    assert list(wrong(**answers)) == [prompt]


def test_all_wrong_answers_come_at_once_in_the_order_of_the_questions() -> None:
    bad = dict.fromkeys(GOOD, "\x00")
    assert list(wrong(**bad)) == list(GOOD)


def test_a_misspelt_argument_of_cookiecutter_is_found() -> None:
    arguments = ["/bin/cookiecutter", "-o", "a=b", "https://host/x?ref=y", "workerz=4", "workers=4"]
    (each,) = unknown_arguments(arguments, GOOD)
    assert (each.prompt, each.value, each.would_do) == ("workerz", "4", "workers=4")
    assert unknown_arguments(["/bin/pytest", "workerz=4"], GOOD) == []


def test_every_prompt_has_its_help_and_each_choice_too() -> None:
    helps = PROMPTS["__prompts__"]
    assert list(helps) == [name for name in PROMPTS if not name.startswith("_")]
    for name, value in PROMPTS.items():
        if isinstance(value, list) and not name.startswith("_"):
            assert list(helps[name]) == ["__prompt__", *value]


@pytest.mark.parametrize("prompt", [name for name in BUDGET_FIELDS if name != "worker_class"])
def test_the_help_of_a_number_names_the_range_of_its_field(prompt: str) -> None:
    name = BUDGET_FIELDS[prompt]
    assert f", {low(name)} to {high(name)}" in PROMPTS["__prompts__"][prompt]


def test_the_choices_of_the_worker_class_are_the_budgets() -> None:
    assert tuple(PROMPTS["worker_class"]) == WORKER_CLASSES


def test_the_longest_slug_is_the_same_in_its_default_its_help_and_its_check() -> None:
    assert f"max_length={SLUG_MAX})" in PROMPTS["project_slug"]
    assert PROMPTS["__prompts__"]["project_slug"].endswith(f"at most {SLUG_MAX}")


@given(st.integers(low("max_connections"), high("max_connections")))
@example(high("max_connections"))
def test_the_proposed_memory_holds_every_number_of_connections(max_connections: int) -> None:
    answers = {"max_connections": str(max_connections)}
    memory = jinja2.Template(PROMPTS["memory_mb"]).render(cookiecutter=answers)
    budget = Budget(max_connections=max_connections, memory_mb=int(memory))
    assert [problem for problem in check(budget) if problem.id in ("B003", "B055")] == []


def test_fields_without_a_prompt_have_the_budgets_default_in_the_template() -> None:
    """The check before generating assumes so."""
    text = (TEMPLATE / "budget.toml").read_text(encoding="utf-8")
    written = dict(re.findall(r'^(\w+) = "?(\w+)\b', text, re.MULTILINE))
    expected = {name: str(f.default) for name, f in FIELDS.items() if name in written}
    assert written == expected
    assert written.keys() | set(BUDGET_FIELDS.values()) == FIELDS.keys()


def test_defaults_of_prompts_are_the_defaults_of_the_budget(tmp_path: Path) -> None:
    text = (TEMPLATE / "budget.toml").read_text(encoding="utf-8")
    for name in BUDGET_FIELDS:
        text = text.replace(f"{{{{ cookiecutter.{name} }}}}", GOOD[name])
    file = tmp_path / "budget.toml"
    file.write_text(text.replace("{{ cookiecutter.project_name }}", "x"), encoding="utf-8")
    assert load(file, {}) == Budget()
