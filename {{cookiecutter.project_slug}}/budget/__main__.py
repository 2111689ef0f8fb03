"""`python -m budget`: print the budget, or what it would be with other numbers.

Exit status: 0 it fits, 1 it does not fit or cannot be read, 2 wrong usage.
"""

import argparse
import io
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from budget import report, source
from budget.check import BudgetError, shorten
from budget.fields import CHOICES, FIELDS, TABLES
from budget.plan import Plan, plan

DEFAULT_FILE = "budget.toml"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line with `arguments` (sys.argv unless given) and return the exit status."""
    # A locale that cannot show a character of a file name must not end in a traceback.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        status, text = _answer(options)
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # `python -m budget | head`: the reader has gone. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _answer(options: argparse.Namespace) -> tuple[int, str]:
    if options.rules:
        return 0, report.rules_text()
    path = Path(options.file or os.environ.get(source.FILE_VARIABLE) or DEFAULT_FILE)
    what_if = {name: getattr(options, name) for name in FIELDS}
    changed = any(value is not None for value in what_if.values())
    title = f"Connection budget of {shorten(path.name)[1:-1]}"
    paint = report.Paint(not options.no_color and report.wants_colour(sys.stdout))
    try:
        budget = source.load(path, **what_if)
        result = plan(budget)
    except BudgetError as error:
        problems = [
            replace(p, where=f"--{p.field.replace('_', '-')}") if p.where == "argument" else p
            for p in error.problems
        ]
        if options.json:
            return 1, report.problems_json(problems)
        return 1, report.problems_text(problems, title, paint)
    if options.json:
        return 0, report.plan_json(result)
    origins = source.read(path, **what_if).origins
    overridden = {
        name: "what if" if origin == "argument" else origin
        for name, origin in origins.items()
        if origin == "argument" or origin in os.environ
    }
    before = _current(path) if changed else None
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else report.WIDE
    text = report.plan_text(result, title, overridden, paint, before=before, width=width)
    return 0, text


def _current(path: Path) -> Plan | None:
    """The plan without what-if, to compare with; None if that one does not fit."""
    try:
        return plan(source.load(path))
    except BudgetError:
        return None


def _whole_number(text: str) -> int | str:
    value = source.number(text)
    if isinstance(value, str):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number (digits 0-9, at most 18)")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m budget",
        description="Print every limit that follows from budget.toml, or the reasons why it does "
        "not fit. A field given here answers 'what if' without an edit.",
        epilog="Exit status: 0 it fits, 1 it does not fit or cannot be read, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument("--file", metavar="PATH", help="instead of budget.toml in this folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rules", action="store_true", help="print the reference of all rules")
    parser.add_argument("--no-color", action="store_true", help="also: NO_COLOR=1")
    for table in TABLES:
        group = parser.add_argument_group(f"what if [{table}]")
        for name, each in FIELDS.items():
            if each.metadata["table"] != table:
                continue
            option = f"--{name.replace('_', '-')}"
            if name == "worker_class":
                group.add_argument(option, choices=CHOICES[name], help="kind of Gunicorn worker")
            elif name in CHOICES:
                group.add_argument(option, choices=CHOICES[name], help=each.metadata["help"])
            else:
                text = f"{each.metadata['help']} ({each.metadata['unit']})"
                group.add_argument(option, type=_whole_number, metavar="N", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
