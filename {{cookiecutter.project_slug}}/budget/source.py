"""Where the numbers come from: budget.toml, then the environment, then arguments; the last wins.

Not for what is wrong with them (rules/), though `load` reports it.
"""

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from budget.check import BudgetError, Problem, check
from budget.fields import CHOICES, CONSUMER_FIELDS, FIELDS, TABLES, Budget, Consumer
from budget.rules.reading import (
    CONSUMER_NAME,
    CONSUMERS,
    CONSUMERS_VARIABLE,
    FILE_VARIABLE,
    MAX_BYTES,
    PREFIX,
    VARIABLES,
    misnamed_consumer,
    no_consumer,
    no_table,
    unknown_key,
    unknown_key_of_consumer,
    unknown_table,
    unknown_variable,
    unusable_consumers,
    unusable_file,
    wrong_number_of_consumer,
)

__all__ = ["FILE_VARIABLE", "Reading", "consumers_text", "load", "number", "read"]

StrPath = str | os.PathLike[str]


@dataclass
class Reading:
    """What was read: values for some fields, where each came from, and what was not understood."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    consumers: list[Consumer] = field(default_factory=list)

    def put(self, name: str, value: Any, origin: str) -> None:
        self.values[name] = value
        self.origins[name] = origin


def load(
    path: StrPath | None = "budget.toml",
    environ: Mapping[str, str] | None = None,
    **overrides: int | str | None,
) -> Budget:
    """The budget in the file at `path`, overridden by the environment and then by `overrides`.

    `path` None means no file: defaults, then the overrides. `environ` is `os.environ` unless it is
    given; `{}` leaves the environment out. An override that is None counts as not given.

    Raises BudgetError with every problem at once: an unreadable file, unknown names, wrong types,
    and also numbers that do not fit together, as only here is known which of them came from where.
    """
    reading = read(path, environ, **overrides)
    budget = Budget(**reading.values, consumers=tuple(reading.consumers))
    problems = [
        *reading.problems,
        *(replace(p, where=reading.origins.get(p.field, "default")) for p in check(budget)),
    ]
    if problems:
        raise BudgetError(problems)
    return budget


def read(
    path: StrPath | None,
    environ: Mapping[str, str] | None = None,
    **overrides: int | str | None,
) -> Reading:
    """Like `load`, without a check of the values. TypeError for an override that is no field."""
    reading = Reading()
    if path is not None:
        _read_file(Path(path), reading)
    _read_environment(os.environ if environ is None else environ, reading)
    for name, value in overrides.items():
        if name not in FIELDS:
            raise TypeError(f"the budget has no field {name!r}")
        if value is not None:
            reading.put(name, value, "argument")
    return reading


def _read_file(path: Path, reading: Reading) -> None:
    def unusable(reason: str) -> None:
        reading.problems.append(unusable_file(reason, _escaped(path)))

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        return unusable(f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if len(content) > MAX_BYTES:
        return unusable(f"is larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8")
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return unusable(f"is not UTF-8 (at line {line})")
    # A TOMLDecodeError is a ValueError, as is a number of too many digits; nesting may have no end.
    except (ValueError, RecursionError) as error:
        return unusable(f"is not valid TOML: {str(error)[:200]}")
    for table, content_of_table in document.items():
        place = _place(path, text, "", table)
        if table not in (*TABLES, CONSUMERS):
            reading.problems.append(unknown_table(table, place))
        elif not isinstance(content_of_table, dict):
            reading.problems.append(no_table(table, place))
        elif table == CONSUMERS:
            for name, consumer in content_of_table.items():
                _read_consumer(name, consumer, partial(_place_of_consumer, path, text), reading)
        else:
            _read_table(path, text, table, content_of_table, reading)
    return None


def _read_table(
    path: Path, text: str, table: str, content: dict[str, Any], reading: Reading
) -> None:
    for key, value in content.items():
        place = _place(path, text, table, key)
        if key in FIELDS and FIELDS[key].metadata["table"] == table:
            reading.put(key, value, place)
        else:
            reading.problems.append(unknown_key(table, key, place))


def _place_of_consumer(path: Path, text: str, name: str, key: str | None) -> str:
    """Where a consumer is written, or one of its keys."""
    if key is not None:
        return _place(path, text, f"{CONSUMERS}.{name}", key)
    table = _place(path, text, "", f"{CONSUMERS}.{name}")
    return _place(path, text, CONSUMERS, name) if table == _escaped(path.name) else table


def _read_consumer(
    name: str, content: Any, place: Callable[[str, str | None], str], reading: Reading
) -> None:
    here = place(name, None)
    if not isinstance(content, dict):
        reading.problems.append(no_consumer(name, here))
        return
    if not CONSUMER_NAME.fullmatch(name):
        reading.problems.append(misnamed_consumer(name, here))
        return
    problems = []
    for key, value in content.items():
        where = place(name, key)
        if key not in CONSUMER_FIELDS:
            problems.append(unknown_key_of_consumer(name, key, where))
        elif problem := wrong_number_of_consumer(name, key, value, where):
            problems.append(problem)
    reading.problems += problems
    if not problems:
        reading.consumers.append(Consumer(name=name, **content))


def _read_environment(environ: Mapping[str, str], reading: Reading) -> None:
    for variable in sorted(environ):
        if variable in VARIABLES:
            _put_text(reading, VARIABLES[variable], environ[variable], variable)
        elif variable == CONSUMERS_VARIABLE:
            _put_consumers(reading, environ[variable])
        elif variable.startswith(PREFIX) and variable != FILE_VARIABLE:
            reading.problems.append(unknown_variable(variable))
    # Platforms set this one for every application, so the budget's own name wins over it.
    if "WEB_CONCURRENCY" in environ and "BUDGET_WORKERS" not in environ:
        _put_text(reading, "workers", environ["WEB_CONCURRENCY"], "WEB_CONCURRENCY")


def consumers_text(budget: Budget) -> str:
    """The consumers of `budget` as the variable BUDGET_CONSUMERS has them."""
    tables = {each.name: asdict(each) for each in budget.consumers}
    for table in tables.values():
        del table["name"]
    return json.dumps(tables)


def _put_consumers(reading: Reading, text: str) -> None:
    try:
        tables = json.loads(text)
    except (ValueError, RecursionError):
        tables = None
    if not isinstance(tables, dict):
        reading.problems.append(unusable_consumers())
        return
    reading.consumers.clear()
    for name, consumer in tables.items():
        _read_consumer(name, consumer, lambda name, key: CONSUMERS_VARIABLE, reading)


def _put_text(reading: Reading, name: str, text: str, origin: str) -> None:
    reading.put(name, text if name in CHOICES else number(text), origin)


def number(text: str) -> int | str:
    """`text` as a number if it is whole and in ASCII digits; else as it is, for `check` to refuse.

    Stricter than int(), which also takes ' 5', '007', '1_000' and the digits of other scripts.
    """
    return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text) else text


def _escaped(path: StrPath) -> str:
    """`path` as text without control characters, for a terminal."""
    return repr(os.fspath(path))[1:-1]


def _place(path: Path, text: str, table: str, key: str) -> str:
    """The file and, where the key is written on a line of its own, that line's number."""
    name = _escaped(path.name)
    current = ""
    for line_number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^]]+?)\s*\]", line)
        if header:
            current = header[1].strip("\"'")
            if not table and key in (current, current.split(".")[0]):
                return f"{name}, line {line_number}"
        elif current == table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""", line):
            return f"{name}, line {line_number}"
    return name
