"""Rules of single values and of where they are written: the file and the environment.

source.py reads both, and says with the functions here what it could not use.
"""

import re
from collections.abc import Sequence
from typing import Any

from budget.fields import (
    CHOICES,
    CONSUMER_FIELDS,
    FIELDS,
    SHARINGS,
    TABLES,
    WORKER_CLASSES,
    high,
    is_in_range,
    low,
)
from budget.problem import Problem, shorten
from budget.rule import Refusal, Rule

#: The table of the file whose tables are consumers.
CONSUMERS = "consumers"
PREFIX = "BUDGET_"
FILE_VARIABLE = "BUDGET_FILE"
#: JSON, as the tables below [consumers]; it takes their place.
CONSUMERS_VARIABLE = "BUDGET_CONSUMERS"
#: The field that each variable of the environment overrides.
VARIABLES = {PREFIX + name.upper(): name for name in FIELDS}


# Sixteen times a file in which every line has a comment. More is another file, given by mistake.
MAX_KIB = 64
MAX_BYTES = MAX_KIB * 1024


def unusable_file(reason: str, where: str) -> Problem:
    """The file cannot be used, for a `reason` that goes on after "the budget"."""
    fix = f"Correct the file, or name another one in {FILE_VARIABLE}"
    return Problem(B001.id, "", None, f"the budget {reason}", fix, where=where)


B001 = Rule(
    id="B001",
    title="The file can be read",
    text=f"budget.toml is a readable UTF-8 file of valid TOML, of at most {MAX_KIB} KiB.",
    why="A guess at half a file would start workers with limits that nobody chose.",
    source="TOML 1.0",
    enforced_by="budget.source",
)


def unknown_table(name: str, where: str) -> Problem:
    """The file has a table or, outside of all tables, a key that does not belong there."""
    if name in FIELDS:
        fix = f"Move it to [{FIELDS[name].metadata['table']}]"
    else:
        known = (*TABLES, CONSUMERS)
        fix = _nearest(name, known, TABLES)
    return Problem(
        B002.id, "", None, f"{shorten(name)} is no table of the budget", fix, where=where
    )


def no_table(table: str, where: str) -> Problem:
    """The file has a value where a table belongs."""
    rule = f"[{table}] is a table, not a value"
    return Problem(B002.id, "", None, rule, f"Write [{table}] on a line of its own", where=where)


def unknown_key(table: str, key: str, where: str) -> Problem:
    """The file has a key in `table` that does not belong there."""
    if key in FIELDS:
        fix = f"Move it to [{FIELDS[key].metadata['table']}]"
    else:
        here = [name for name, each in FIELDS.items() if each.metadata["table"] == table]
        fix = _nearest(key, [*here, *FIELDS], here)
    return Problem(B002.id, "", None, f"{shorten(key)} is no key of [{table}]", fix, where=where)


B002 = Rule(
    id="B002",
    title="No unknown tables or keys",
    text="Every table and key is one of those in this reference, and every key is in its table.",
    why="A misspelt `max_conections` would silently leave the default in force.",
    source="this project",
    enforced_by="budget.source",
)


def _number_in_range(name: str, value: Any) -> Refusal | None:
    if name in CHOICES or is_in_range(FIELDS[name].metadata, value):
        return None
    whole = isinstance(value, int) and not isinstance(value, bool)
    rule = f"must be a whole number from {low(name)} to {high(name)}"
    nearest = min(max(value, low(name)), high(name)) if whole else FIELDS[name].default
    return Refusal(name, rule, ({name: nearest},))


B003 = Rule(
    id="B003",
    title="Whole numbers in range",
    text=(
        "Every number is a whole number in the field's range. In the environment it is written in "
        "ASCII digits."
    ),
    why=(
        "Python counts `true` as 1, and other programs take `1e3` and `٣` for numbers. None would "
        'mean "no limit".'
    ),
    source=(
        "MySQL and MariaDB manuals, server system variables (max_connections up to "
        f"{high('max_connections')}, wait_timeout up to {high('wait_timeout')})"
    ),
    enforced_by="budget.plan",
    check_value=_number_in_range,
)


def unknown_variable(variable: str) -> Problem:
    """The environment has a variable with the budget's prefix that overrides nothing."""
    rule = f"{shorten(variable)} is no variable of the budget"
    known = [*VARIABLES, FILE_VARIABLE, CONSUMERS_VARIABLE]
    return Problem(B004.id, "", None, rule, _nearest(variable, known, known), where="environment")


B004 = Rule(
    id="B004",
    title=f"No unknown {PREFIX} variables",
    text=(
        f"`{PREFIX}<FIELD>` overrides one field, and `{FILE_VARIABLE}` names the file; "
        f"`{CONSUMERS_VARIABLE}` is JSON in the place of its consumers. No other "
        f"name begins with {PREFIX}. `WEB_CONCURRENCY` means `workers`, unless "
        f"`{PREFIX}WORKERS` is set."
    ),
    why="A misspelt override would be ignored in production.",
    source="Gunicorn settings, workers: WEB_CONCURRENCY",
    enforced_by="budget.source",
)


def _known_worker_class(name: str, value: Any) -> Refusal | None:
    if name != "worker_class" or value in WORKER_CLASSES:
        return None
    rule = f"must be one of {', '.join(WORKER_CLASSES)}"
    return Refusal(name, rule, ({name: FIELDS[name].default},))


B005 = Rule(
    id="B005",
    title="A worker class the budget knows",
    text=f"`worker_class` is {', '.join(WORKER_CLASSES[:-1])} or {WORKER_CLASSES[-1]}.",
    why="It decides how many requests a worker serves at once.",
    source="Gunicorn settings, worker_class",
    enforced_by="budget.plan",
    check_value=_known_worker_class,
)


def misnamed_consumer(name: str, where: str) -> Problem:
    """The name of a consumer is none that a process can carry as its role."""
    rule = f"{shorten(name)} is no name of a consumer"
    fix = f"Use a to z, digits, - and _, at most {LONGEST_NAME} of them, and not 'web'"
    return Problem(B006.id, "", None, rule, fix, where=where)


def unusable_consumers() -> Problem:
    """The variable of the consumers is no JSON object."""
    rule = f"{CONSUMERS_VARIABLE} is no JSON object"
    fix = f"""Write {CONSUMERS_VARIABLE}='{{"celery": {{"processes": 4}}}}', or unset it"""
    return Problem(B006.id, "", None, rule, fix, where="environment")


def no_consumer(name: str, where: str) -> Problem:
    """[consumers] has a value where the table of a consumer belongs."""
    rule = f"[consumers] has tables only, and {shorten(name)} is a value"
    fix = "Write [consumers.NAME], and its keys below it"
    return Problem(B006.id, "", None, rule, fix, where=where)


def unknown_key_of_consumer(name: str, key: str, where: str) -> Problem:
    """The table of a consumer has a key that does not belong there."""
    rule = f"{shorten(key)} is no key of [consumers.{name}]"
    fix = _nearest(key, list(CONSUMER_FIELDS), list(CONSUMER_FIELDS))
    return Problem(B006.id, "", None, rule, fix, where=where)


def wrong_number_of_consumer(name: str, key: str, value: Any, where: str) -> Problem | None:
    """What is wrong with the number of a known key of a consumer; None if nothing is."""
    metadata = CONSUMER_FIELDS[key].metadata
    if is_in_range(metadata, value):
        return None
    span = f"{metadata['low']} to {metadata['high']}"
    rule = (
        f"{key} of [consumers.{name}] is {shorten(value)}; it has to be a whole number from {span}"
    )
    return Problem(B006.id, "", None, rule, f"Its meaning: {metadata['help']}", where=where)


#: It is the process's role in the ledger of its host, which has room for more.
LONGEST_NAME = 16
CONSUMER_NAME = re.compile(rf"(?!web\Z)[a-z][a-z0-9_-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)

B006 = Rule(
    id="B006",
    title="Consumers are named and counted",
    text=(
        f"A table `[consumers.NAME]` has {', '.join(f'`{key}`' for key in CONSUMER_FIELDS)}, whole "
        "numbers in their ranges, and no other key. NAME has a to z, digits, - and _, at most "
        f"{LONGEST_NAME} of them, and is not `web`."
    ),
    why=(
        "A consumer that is misspelt would be promised nothing, and would take its connections "
        "from the web workers."
    ),
    source="this project",
    enforced_by="budget.source",
)


def _known_sharing(name: str, value: Any) -> Refusal | None:
    if name != "sharing" or value in SHARINGS:
        return None
    rule = f"must be one of {', '.join(SHARINGS)}"
    return Refusal(name, rule, ({name: FIELDS[name].default},))


B007 = Rule(
    id="B007",
    title="A sharing the budget knows",
    text=f"`sharing` is {' or '.join(SHARINGS)}.",
    why="It decides who counts connections together, and so how many each of them may open.",
    source="this project",
    enforced_by="budget.plan",
    check_value=_known_sharing,
)


def _nearest(word: str, known: Sequence[str], listed: Sequence[str]) -> str:
    # Only here: every process of Gunicorn imports this module, and few have a misspelt name.
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return f"Perhaps it is {close[0]}" if close else f"Known: {', '.join(listed)}"


RULES = (B001, B002, B003, B004, B005, B006, B007)
