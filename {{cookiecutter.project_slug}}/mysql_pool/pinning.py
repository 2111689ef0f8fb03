"""Which statements leave something behind in their session. No state, no input or output.

The rules are those that ProxySQL ("Multiplexing": what disables it) and MySQL Router ("connection
sharing") publish. A statement that matches ``SESSION_STATE`` keeps its connection with its owner
until the request ends; one that matches ``PREVIOUS_STATEMENT`` is only meaningful on the
connection that ran the statement before it.

A rule that matches too much costs a connection held for a little longer; one that matches too
little gives a stranger's answer. So words are looked for anywhere in the text, literals included.
"""

import re
from functools import lru_cache
from typing import NamedTuple

# At the start of a statement, comments and opening parentheses aside; also after a `;`, for
# drivers that allow several statements in one text.
_START = r"(?:\A|;)(?:\s|\(|/\*(?![!M]).*?\*/|--\s[^\n]*\n|\#[^\n]*\n)*"

SESSION_STATE = {
    "set": _START + r"SET\b",
    "user variable": r"(?<!@)@(?![@\s])",
    "lock": r"\bGET_LOCK\s*\(|" + _START + r"(?:UN)?LOCK\b",
    "flush": _START + r"FLUSH\b.*\b(?:LOCK|EXPORT)\b",
    "temporary table": r"\bTEMPORARY\b",
    "prepared statement": _START + r"(?:PREPARE|EXECUTE|DEALLOCATE)\b",
    "handler": _START + r"HANDLER\b",
    "transaction by hand": _START + r"(?:BEGIN|START|XA)\b",
    "found rows": r"\bSQL_CALC_FOUND_ROWS\b",
    "last insert id": r"\bLAST_INSERT_ID\s*\(\s*[^)\s]",
    "sequence": r"\b(?:NEXTVAL|LASTVAL|SETVAL)\s*\(|\b(?:NEXT|PREVIOUS)\s+VALUE\s+FOR\b",
    "default database": _START + r"USE\b",
    "procedure": _START + r"(?:CALL|DO)\b",
    # An executable comment (`/*! … */`, `/*M! … */`) hides what it does from the rules above.
    "executable comment": r"/\*M?!",
    "compound statement": _START + r"(?:IF|CASE|LOOP|WHILE|REPEAT|FOR)\b|\bNOT\s+ATOMIC\b",
}

PREVIOUS_STATEMENT = (
    r"\b(?:LAST_INSERT_ID|FOUND_ROWS|ROW_COUNT)\s*\(\s*\)"
    r"|" + _START + r"SHOW\s+(?:COUNT\s*\(\s*\*\s*\)\s*)?(?:WARNINGS|ERRORS|PROFILE)\b"
    r"|" + _START + r"GET\s+(?:CURRENT\s+)?DIAGNOSTICS\b"
    r"|@@(?:SESSION\s*\.\s*|LOCAL\s*\.\s*)?"
    r"(?:identity|last_insert_id|warning_count|error_count|insert_id)\b"
)

# These end an open transaction by themselves ("Statements That Cause an Implicit Commit").
# Those about TEMPORARY tables do not, nor does MariaDB's ANALYZE SELECT (it explains). Here a
# match too much is harmful: the BEGIN of the next statement would commit what is open.
IMPLICIT_COMMIT = (
    _START + r"(?:(?:CREATE|DROP|ALTER)\b(?!\s+(?:(?:OR\s+REPLACE\s+)?TEMPORARY|PREPARE)\b)"
    r"|RENAME\b|TRUNCATE\b|GRANT\b|REVOKE\b"
    r"|ANALYZE\s+(?:\w+\s+)?TABLE\b|OPTIMIZE\b|REPAIR\b|CHECK\b|CACHE\b|FLUSH\b|RESET\b"
    r"|INSTALL\b|UNINSTALL\b)"
)

# One pass over the text decides for nearly every statement that none of the rules can match.
_WORDS = re.compile(
    r"@|/\*M?!|;"
    r"|\b(?:SET|LOCK|UNLOCK|GET_LOCK|FLUSH|TEMPORARY|PREPARE|EXECUTE|DEALLOCATE|HANDLER|BEGIN|START"
    r"|XA|SQL_CALC_FOUND_ROWS|LAST_INSERT_ID|FOUND_ROWS|ROW_COUNT|NEXTVAL|LASTVAL|SETVAL"
    r"|NEXT|PREVIOUS|USE|CALL|DO|IF|CASE|LOOP|WHILE|REPEAT|FOR|ATOMIC|SHOW|DIAGNOSTICS|CREATE|DROP"
    r"|ALTER|RENAME|TRUNCATE|GRANT|REVOKE|ANALYZE|OPTIMIZE|REPAIR|CHECK|CACHE|RESET|INSTALL"
    r"|UNINSTALL)\b",
    re.IGNORECASE,
)
_FLAGS = re.IGNORECASE | re.DOTALL
_STATE = [(reason, re.compile(rule, _FLAGS)) for reason, rule in SESSION_STATE.items()]
_PREVIOUS = re.compile(PREVIOUS_STATEMENT, _FLAGS)
_COMMIT = re.compile(IMPLICIT_COMMIT, _FLAGS)


class Effect(NamedTuple):
    """What a statement means for the session that runs it."""

    pins: str | None = None
    """Why the connection has to stay with its owner afterwards, or None."""
    needs_previous: bool = False
    """Reads what the statement before it left in the session."""
    commits: bool = False
    """Ends an open transaction implicitly."""


NOTHING = Effect()


def effect_of(sql: str, extra: re.Pattern[str] | None = None) -> Effect:
    """Judge one statement. ``extra`` is the project's own rule (``OPTIONS["PIN_ON"]``)."""
    # Long texts are bulk statements whose text hardly ever comes again: not worth remembering.
    return _judge(sql, extra) if len(sql) < 4096 else _judge.__wrapped__(sql, extra)


@lru_cache(maxsize=2048)
def _judge(sql: str, extra: re.Pattern[str] | None) -> Effect:
    if extra is not None and extra.search(sql):
        return Effect(pins="project rule")
    if not _WORDS.search(sql):
        return NOTHING
    pins = next((reason for reason, rule in _STATE if rule.search(sql)), None)
    return Effect(pins, bool(_PREVIOUS.search(sql)), bool(_COMMIT.search(sql)))
