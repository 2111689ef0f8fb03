"""What may be answered when a project is generated: finds every wrong answer, not only the first.

Not a hook: pre_gen_project.py runs it, in the repository. No Jinja here.
"""

import json
import keyword
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any
from unicodedata import east_asian_width

from budget.check import Change, check, shorten
from budget.counting import count
from budget.fields import Budget
from budget.source import number

TEMPLATE = "{{cookiecutter.project_slug}}"

# Prompts that are numbers of the budget, with the names they have there.
BUDGET_FIELDS = {
    "app_hosts": "hosts",
    "workers": "workers",
    "worker_class": "worker_class",
    "worker_connections": "worker_connections",
    "threads": "threads",
    "max_connections": "max_connections",
    "memory_mb": "memory_mb",
    "wait_timeout": "wait_timeout",
    "conn_max_age": "conn_max_age",
}
PROMPTS = {field: prompt for prompt, field in BUDGET_FIELDS.items()}

# A number that only some worker classes have. Given with another class it would do nothing.
ONLY_FOR = {"threads": ("gthread",), "worker_connections": ("gevent", "gthread")}

# MySQL allows 32 characters for an account, and `<slug>_migrate` is one.
SLUG_MAX = 32 - len("_migrate")
NAME_MAX = 60

# Schemas and accounts of the servers themselves, and what their installers make and remove.
SERVER_NAMES = {"mysql", "sys", "information_schema", "performance_schema", "test", "root"}
# Users of a host and folders below its /etc: the collection deploys no application of that name.
HOST_NAMES = {"apt", "default", "mariadb", "nginx", "ssh", "ssl", "systemd"}
# What a generated project imports; where cookiecutter runs it is seldom installed.
PROJECT_PACKAGES = {
    *("asgiref", "django", "environ", "gevent", "greenlet", "gunicorn", "hypothesis", "mysqldb"),
    *("pip", "psycogreen", "pymysql", "pytest", "ruff", "setuptools", "sqlparse", "whitenoise"),
    *("django_db_geventpool", "cryptography", "zope"),
}


@dataclass(frozen=True)
class WrongAnswer:
    """One answer that cannot be used: the prompt's name, the value, the rule, and what would do."""

    prompt: str
    value: Any
    rule: str
    would_do: str


def wrong_answers(
    answers: Mapping[str, Any], prompts: Mapping[str, Any], template_names: Iterable[str]
) -> list[WrongAnswer]:
    """Every wrong answer. `prompts` is cookiecutter.json, `template_names` what a project holds."""
    wrong = [
        *_text(answers, "project_name", _name_rule(answers["project_name"], forbidden='"\\{}<>$`')),
        *_slug(answers, set(template_names)),
        *_text(answers, "author_name", _name_rule(answers["author_name"], forbidden='"\\{}<>$`,')),
        *_text(answers, "author_email", _email_rule(answers["author_email"])),
        *_choices(answers, prompts),
        *_without_effect(answers, prompts),
        *_budget(answers),
    ]
    # A number without effect may be out of its range as well: one answer, one thing to do.
    first = {each.prompt: each for each in reversed(wrong)}
    return [first[prompt] for prompt in prompts if prompt in first]


def unknown_arguments(arguments: Sequence[str], answers: Mapping[str, Any]) -> list[WrongAnswer]:
    """`name=value` arguments that are no prompt: cookiecutter ignores them without a word.

    `arguments` is the sys.argv of the program that generates. Only cookiecutter's is understood;
    cruft takes its answers in other ways, and ignores unknown ones too.
    """
    program = PurePath(arguments[0])
    if "cookiecutter" not in (program.stem, program.parent.name):
        return []
    with_value = ("-c", "--checkout", "-o", "--output-dir", "--directory", "--config-file")
    wrong = []
    for before, argument in pairwise(arguments):
        match = re.match(r"([A-Za-z_]\w*)=(.*)", argument, re.DOTALL)
        if not match or match[1] in answers or before in with_value:
            continue
        names = [name for name in answers if not name.startswith("_")]
        close = get_close_matches(match[1], names, n=1)
        would_do = f"{close[0]}={match[2]}" if close else f"one of {', '.join(names)}"
        wrong.append(WrongAnswer(match[1], match[2], "is no prompt of this template", would_do))
    return wrong


def refusal(wrong: Sequence[WrongAnswer], project: Path) -> str:
    """What to tell the person who gave the answers. `project` is the folder cookiecutter made."""
    are = "is" if len(wrong) == 1 else "are"
    lines = [f"\nThis project cannot be generated: {count(len(wrong), 'answers')} {are} wrong.\n"]
    for each in wrong:
        lines += [
            f"  {each.prompt} = {shorten(each.value)}",
            f"      {each.rule}.",
            f"      Would do: {each.would_do}",
            "",
        ]
    lines.append("Nothing was generated.")
    left = _folders_on_the_way(wrong, project)
    if left:
        lines.append(
            f"Cookiecutter itself made these on the way; if they are new to you: rmdir {left}"
        )
    return "\n".join(lines) + "\n"


def _folders_on_the_way(wrong: Sequence[WrongAnswer], project: Path) -> str:
    """Folders above the project that a slug with slashes named and that hold nothing else.

    Cookiecutter makes them before a hook can run, removes only the last, and does not say which of
    them were there before.
    """
    slug = next((each.value for each in wrong if each.prompt == "project_slug"), "")
    parts = len(PurePath(slug).parts) if isinstance(slug, str) else 0
    above = [project, *project.parents][:parts]
    left = [
        parent
        for child, parent in pairwise(above)
        if parent.name and [each.name for each in parent.iterdir()] == [child.name]
    ]
    return " ".join(shlex.quote(str(each)) for each in left)


def _text(answers: Mapping[str, Any], prompt: str, rule: str | None) -> list[WrongAnswer]:
    example = {"project_name": "My Project", "author_name": "Ada Lovelace"}
    would_do = example.get(prompt, "you@example.com")
    return [WrongAnswer(prompt, answers[prompt], rule, would_do)] if rule else []


def _name_rule(value: Any, forbidden: str) -> str | None:
    """The rule that a name for people breaks: it is written into TOML, Python and Markdown."""
    if not isinstance(value, str) or not any(map(str.isalnum, value)):
        return "must have a letter or a digit"
    if value != value.strip() or not value.isprintable():
        return "must not have control characters, line breaks, or spaces at its ends"
    if value.startswith("/") or value == "0.0.0.0":  # noqa: S104 - the linter's own pattern
        return "must not be a path or an address, which the project's linter takes it for"
    if set(value) & set(forbidden):
        return f"must not have any of {' '.join(forbidden)}"
    if "''" in value:
        return "must not have two apostrophes in a row"
    # What lines are measured in, also by the linter of the generated project.
    if sum(2 if east_asian_width(each) in "WF" else 1 for each in value) > NAME_MAX:
        return f"must not be longer than {NAME_MAX} characters (wide ones count as two)"
    return None


def _email_rule(value: Any) -> str | None:
    atom = r"[A-Za-z0-9!#&'*+/=?^_|~-]+"
    label = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    address = rf"{atom}(?:\.{atom})*@{label}(?:\.{label})*"
    if isinstance(value, str) and len(value) <= 254 and re.fullmatch(address, value):
        return None
    return "must be an address in plain ASCII, such as name@example.com"


def _slug(answers: Mapping[str, Any], template_names: set[str]) -> list[WrongAnswer]:
    value = answers["project_slug"]
    rule = _slug_rule(value, template_names)
    if rule is None:
        return []
    words = re.sub(r"[^a-z0-9]+", "_", str(value).lower()).strip("_")
    stem = re.sub(r"^[0-9_]+", "", words)[: SLUG_MAX - len("_site")].strip("_")
    suggestions = (stem, f"{stem}_site", "my_project")
    would_do = next(each for each in suggestions if _slug_rule(each, template_names) is None)
    return [WrongAnswer("project_slug", value, rule, would_do)]


def _slug_rule(value: Any, template_names: set[str]) -> str | None:
    """The rule that a slug breaks: it names a folder, a database and its accounts, a package."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", value):
        return "must be words of lower-case ASCII letters and digits, joined by _, a letter first"
    if len(value) > SLUG_MAX:
        return (
            f"must not be longer than {SLUG_MAX} characters: the account {value[:5]}..._migrate "
            "may have 32"
        )
    reserved: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: keyword.iskeyword(value), "is a keyword of Python"),
        (lambda: value in template_names, "is the name of a part of every generated project"),
        (lambda: value in SERVER_NAMES, "belongs to the database server"),
        (lambda: value in HOST_NAMES, "is taken on the hosts that the project is deployed to"),
        (lambda: value in sys.stdlib_module_names, "is a module of Python's standard library"),
        (lambda: value in PROJECT_PACKAGES, "is a package that the project imports"),
        (lambda: value in _installed(), "is the name of an installed package"),
    )
    return next((rule for applies, rule in reserved if applies()), None)


@cache
def _installed() -> set[str]:
    """What installed distributions make importable, in lower case."""
    return {name.lower() for name in packages_distributions()}


def _choices(answers: Mapping[str, Any], prompts: Mapping[str, Any]) -> list[WrongAnswer]:
    # On its command line cookiecutter refuses these itself, but not in a replay file.
    return [
        WrongAnswer(name, answers[name], "must be one of the choices", ", ".join(choices))
        for name, choices in prompts.items()
        if isinstance(choices, list) and not name.startswith("_") and answers[name] not in choices
    ]


def _without_effect(answers: Mapping[str, Any], prompts: Mapping[str, Any]) -> list[WrongAnswer]:
    """Numbers that were changed although the worker class has no use for them."""
    worker_class = answers["worker_class"]
    return [
        WrongAnswer(
            name,
            answers[name],
            f"has no effect with worker_class={worker_class}",
            f"{name}={prompts[name]}, or worker_class={classes[0]}",
        )
        for name, classes in ONLY_FOR.items()
        if worker_class in prompts["worker_class"]
        and worker_class not in classes
        and answers[name] != prompts[name]
    ]


def _budget(answers: Mapping[str, Any]) -> list[WrongAnswer]:
    """What the budget says. A field without a prompt has its default, here and in budget.toml."""
    values = {}
    for prompt, field in BUDGET_FIELDS.items():
        value = answers[prompt]
        is_number = isinstance(value, str) and prompt != "worker_class"
        values[field] = number(value) if is_number else value
    wrong = []
    for problem in check(Budget(**values)):
        if problem.id == "B005":
            continue  # said by _choices
        ways_out = [
            way for way in (problem.change, *problem.alternatives) if way.keys() <= PROMPTS.keys()
        ]
        prompt = PROMPTS[problem.field]
        would_do = ", or ".join(map(_assignments, ways_out))
        wrong.append(WrongAnswer(prompt, answers[prompt], problem.rule, would_do))
    return wrong


def _assignments(change: Change) -> str:
    return " and ".join(f"{PROMPTS[field]}={value}" for field, value in change.items())


def main(rendered: str, project: str) -> int:
    """Print what is wrong with the answers to stderr. Returns 1 if anything is, else 0.

    `rendered` is JSON with the `arguments` of the program that generates, and the `answers`;
    `project` is the folder that it has made. The working directory is the repository.
    """
    given = json.loads(rendered)
    wrong = [
        *unknown_arguments(given["arguments"], given["answers"]),
        *wrong_answers(
            given["answers"],
            json.loads(Path("cookiecutter.json").read_text(encoding="utf-8")),
            {path.stem for path in Path(TEMPLATE).iterdir()},
        ),
    ]
    if wrong:
        print(refusal(wrong, Path(project)), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
