"""What a statement leaves behind in its session, as far as its text tells. No state, no input or
output.

PyMySQL shows with each answer whether the server saw its session change
(``answers.SESSION_CHANGED``), which finds what no text tells, such as a trigger that sets a
variable. Both count: the servers miss ``SELECT @w := 2``, ``SELECT ... INTO @w``, ``CREATE
TEMPORARY TABLE ... SELECT``, locks, and what a statement did before it failed. mysqlclient does
not show the flag; there the rules are all there is.

A rule that matches too much costs a connection held for a little longer; one that matches too
little gives a stranger's answer. So what is not known to leave nothing behind is taken to leave
something: a verb that is not listed here, a function that the servers do not ship (`functions`).
The state itself is what ProxySQL ("Multiplexing": what disables it) and MySQL Router ("connection
sharing") publish.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from .functions import NATIVE
from .scanner import EXECUTABLE, LITERAL, OPEN_LITERAL, UNREADABLE, USER_VARIABLE, readings

#: Statements that change data or look at it, and leave nothing but what their expressions do.
DATA = frozenset(
    "SELECT INSERT UPDATE DELETE REPLACE WITH VALUES TABLE SHOW DESCRIBE DESC EXPLAIN LOAD".split()
)
#: Statements that change what all sessions share.
SHARED = frozenset(
    "CREATE ALTER DROP RENAME TRUNCATE GRANT REVOKE ANALYZE OPTIMIZE REPAIR CHECK CHECKSUM CACHE "
    "KILL PURGE INSTALL UNINSTALL".split()
)
#: Parts of a transaction that Django began; they end or divide it and leave nothing.
TRANSACTION = frozenset("COMMIT ROLLBACK SAVEPOINT RELEASE".split())
#: By the first word: what it leaves behind.
LEAVES = {
    "SET": "set",
    "LOCK": "lock",
    "UNLOCK": "lock",
    "BACKUP": "lock",
    "FLUSH": "flush",
    "PREPARE": "prepared statement",
    "EXECUTE": "prepared statement",
    "DEALLOCATE": "prepared statement",
    "HANDLER": "handler",
    "BEGIN": "transaction by hand",
    "START": "transaction by hand",
    "XA": "two-phase transaction",
    "USE": "default database",
    "CALL": "procedure",
    "DO": "procedure",
    **dict.fromkeys(["IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"], "compound statement"),
}
#: Functions with an effect on their session; those that only mean something on the connection of
#: the statement before are in PREVIOUS.
STATEFUL = {
    **dict.fromkeys(["GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS"], "lock"),
    # MySQL's "locking service" and version tokens are loadable functions: not native, hence held.
    **dict.fromkeys(["NEXTVAL", "SETVAL"], "sequence"),
}
#: Kinds of statements that another may ask about; each is one of the kind before it, too.
ANY, WROTE, INSERTED = range(3)
#: Statements that may have made an id, directly or in what they call.
INSERTS = frozenset("INSERT REPLACE LOAD CALL DO EXECUTE BEGIN".split())
PREVIOUS = {
    "LAST_INSERT_ID": INSERTED,
    "LASTVAL": INSERTED,
    "FOUND_ROWS": ANY,
    "ROW_COUNT": ANY,
}
PREVIOUS_VARIABLES = {
    **dict.fromkeys(["@@IDENTITY", "@@LAST_INSERT_ID", "@@INSERT_ID"], INSERTED),
    "@@LAST_GTID": WROTE,
    **dict.fromkeys(["@@WARNING_COUNT", "@@ERROR_COUNT"], ANY),
}
#: Behind these a name with an opening parenthesis is no call of a function.
NAMES_FOLLOW = frozenset("INTO INSERT REPLACE AS WITH RECURSIVE WINDOW".split())
#: The same between INSERT and the table.
NAMES_FOLLOW_IN_INSERT = frozenset("IGNORE LOW_PRIORITY HIGH_PRIORITY DELAYED".split())
#: What is created; of these, some have a text that is not run now.
ROUTINES = frozenset("PROCEDURE FUNCTION TRIGGER EVENT PACKAGE VIEW".split())
OBJECTS = ROUTINES | frozenset(
    "TABLE INDEX DATABASE SCHEMA USER ROLE SEQUENCE SERVER TABLESPACE".split()
)
#: Their text has names with parentheses that are columns, keys, types.
DEFINITIONS = frozenset("CREATE ALTER DROP RENAME TRUNCATE GRANT REVOKE".split())

#: What a reset (COM_RESET_CONNECTION) does not undo, so that the connection is closed instead
#: (of these, MariaDB 10.11 and 11.8 and MySQL 9.7 leave one or the other). A role that changes
#: unseen, in a procedure, is looked for by the reset itself.
NOT_RESET = frozenset(["role", "profiling", "resource group", "two-phase transaction"])
SETS = {
    "ROLE": "role",
    "PROFILING": "profiling",
    "@@PROFILING": "profiling",
    "OPTIMIZER_TRACE": "profiling",
    "@@OPTIMIZER_TRACE": "profiling",
    "RESOURCE": "resource group",
}


class Effect(NamedTuple):
    """What a statement means for the session that runs it."""

    pins: str | None = None
    """Why the connection has to stay with its owner afterwards, or None."""
    can_be_reset: bool = True
    """Whether a reset undoes what it leaves."""
    needs_previous: int | None = None
    """Reads what a statement before it left in the session: `ANY` statement, the last one that
    `WROTE`, or the last one that `INSERTED`."""
    does: int = ANY
    """What those that come after may ask about it."""


def effect_of(sql: str, extra: re.Pattern[str] | None = None, formatted: bool = False) -> Effect:
    """Judge one statement. ``extra`` is the project's own rule (``OPTIONS["PIN_ON"]``), which adds
    to those here; ``formatted``: arguments will be put in place of ``%s``."""
    # Long texts are bulk statements whose text hardly ever comes again: not worth remembering.
    judge = _judge if len(sql) < 4096 else _judge.__wrapped__
    return judge(sql, extra, formatted)


@lru_cache(maxsize=2048)
def _judge(sql: str, extra: re.Pattern[str] | None, formatted: bool) -> Effect:
    reasons: list[str] = []
    if extra is not None and extra.search(sql):
        reasons.append("project rule")
    needs_previous, does = None, ANY
    for reading in readings(sql):
        if formatted and OPEN_LITERAL in reading:
            reasons.append("placeholder in a literal")
        statements = _statements(reading)
        if len(statements) > 1:
            reasons.append("several statements")
        for number, statement in enumerate(statements):
            verb = _verb(statement)
            reasons += _left_by(verb, statement)
            if number == 0 and len(statements) == 1 and needs_previous is None:
                needs_previous = _asks_back(verb, statement)
            does = max(does, _does(verb, reasons))
    pins = reasons[0] if reasons else None
    return Effect(pins, NOT_RESET.isdisjoint(reasons), needs_previous, does)


def _statements(reading: list[str]) -> list[list[str]]:
    """Cut at each ``;``, also within a compound statement, which counts as several."""
    statements: list[list[str]] = [[]]
    for one in reading:
        if one == ";":
            statements.append([])
        else:
            statements[-1].append(one)
    return [one for one in statements if one] or [[]]


def _verb(statement: list[str]) -> str:
    return next((token for token in statement if token not in ("(", EXECUTABLE)), "")


def _left_by(verb: str, statement: list[str]) -> list[str]:
    """Every reason why this statement may leave something behind."""
    reasons = []
    words = set(statement)
    if UNREADABLE in words:
        reasons.append("unreadable text")
    if verb in LEAVES:
        reasons.append(LEAVES[verb])
        if verb == "SET":
            reasons += [reason for word, reason in SETS.items() if word in words]
    elif verb in TRANSACTION:
        if verb != "RELEASE" and words & {"CHAIN", "RELEASE"} and "NO" not in words:
            reasons.append("transaction by hand")
    elif verb in SHARED:
        reasons += _left_by_definition(verb, statement)
    elif verb not in DATA and verb:
        reasons.append("other statement")
    if EXECUTABLE in words:
        reasons.append("executable comment")
    if USER_VARIABLE in words:
        reasons.append("user variable")
    if "SQL_CALC_FOUND_ROWS" in words:
        reasons.append("found rows")
    if "VALUE" in words and "NEXT" in words:
        reasons.append("sequence")
    if not _defines_routine(verb, statement):
        reasons += _called(verb, statement)
    return reasons


def _defines_routine(verb: str, statement: list[str]) -> bool:
    """Whether its text is kept and not run."""
    created = next((one for one in statement if one in OBJECTS), None)
    return verb in ("CREATE", "ALTER") and created in ROUTINES


def _left_by_definition(verb: str, statement: list[str]) -> list[str]:
    head = statement[:6]
    if "TEMPORARY" in head:
        return ["temporary table"]
    if verb == "DROP" and "PREPARE" in head:
        return ["prepared statement"]
    if verb == "DROP" and ("DATABASE" in head or "SCHEMA" in head):
        return ["default database"]  # it may be the session's
    return []


def _called(verb: str, statement: list[str]) -> list[str]:
    """What the functions that are called may leave; a definition calls them in its SELECT only."""
    reasons = []
    start = 0
    if verb in DEFINITIONS:
        if "SELECT" not in statement:
            return []
        start = statement.index("SELECT")
    for place in range(start, len(statement) - 1):
        name = statement[place]
        if statement[place + 1] != "(" or not _is_name(name):
            continue
        before = place - 1
        qualified = False
        while before > 0 and statement[before] == ".":
            qualified, before = True, before - 2
        previous = statement[before] if before >= 0 else ""
        if previous in NAMES_FOLLOW or (
            verb in ("INSERT", "REPLACE") and previous in NAMES_FOLLOW_IN_INSERT
        ):
            continue
        native = name.strip("`").upper()
        if not qualified and native in STATEFUL:
            reasons.append(STATEFUL[native])
        elif not qualified and native == "LAST_INSERT_ID":
            if statement[place + 2 : place + 3] != [")"]:
                reasons.append("last insert id")
        elif qualified or name not in NATIVE:
            reasons.append("stored function")
    return reasons


def _is_name(token: str) -> bool:
    # A literal: under ANSI_QUOTES a name may stand in double quotes.
    return token[0] == "`" or token == LITERAL or token[0].isalnum() or token[0] in "_$"


def _does(verb: str, reasons: list[str]) -> int:
    if verb in INSERTS or {"last insert id", "sequence", "several statements"} & set(reasons):
        return INSERTED
    return ANY if verb in ("SELECT", "SHOW", "DESCRIBE", "DESC", "EXPLAIN") else WROTE


def _asks_back(verb: str, statement: list[str]) -> int | None:
    """Which statement before this one its answer depends on."""
    words = set(statement)
    if verb == "SHOW" and words & {"WARNINGS", "ERRORS", "PROFILE", "PROFILES"}:
        return ANY
    if verb == "GET" and "DIAGNOSTICS" in words:
        return ANY
    if _defines_routine(verb, statement) or verb in ("BEGIN", "PREPARE"):
        return None  # its text is not run; or it is compound and brings its own
    asked = [kind for name, kind in PREVIOUS_VARIABLES.items() if name in words]
    if {"PREVIOUS", "VALUE"} <= words:
        asked.append(INSERTED)
    for place, token in enumerate(statement):
        name = token.strip("`").upper()
        called = name in PREVIOUS and statement[place + 1 : place + 2] == ["("]
        if called and (name == "LASTVAL" or statement[place + 2 : place + 3] == [")"]):
            asked.append(PREVIOUS[name])
    return max(asked, default=None)
