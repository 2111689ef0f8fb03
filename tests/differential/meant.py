"""The differences that are meant. Each has its place in docs/explanation/transaction-mode.md.

A rule is as narrow as it can be: it looks at one step, at what came of it on both sides, and at the
mode, and a step that it lets pass is still compared in everything else. A rule that a fault
would hide behind does not belong here.
"""

from collections.abc import Callable
from typing import NamedTuple

from .outcome import REFUSED
from .pair import Variant
from .statements import STATEMENTS, TRIGGER

PAGE = "docs/explanation/transaction-mode.md"


class Meant(NamedTuple):
    """``applies(step, first, stock, pool, variant)``: two outcomes; ``first``: nothing was inserted
    since the session has had its connection (it may well be new to it)."""

    anchor: str
    why: str
    applies: Callable[[list, bool, dict, dict, Variant], bool]


def _is_refusal(outcome: dict) -> bool:
    return (
        outcome.get("error") == "OperationalError"
        and outcome["number"] is None
        and REFUSED in outcome["text"]
    )


def _asks_for_previous(step, first, stock, pool, variant) -> bool:
    return (
        first
        and step[0].rstrip("!") in ("sql", "kept")
        # Only these: a text that merely holds the words, in a literal or a body, is not refused.
        and step[1] in STATEMENTS["previous"]
        and _is_refusal(pool)
    )


def _asks_driver_for_previous(step, first, stock, pool, variant) -> bool:
    return first and step[:2] == ["driver", "insert_id"] and _is_refusal(pool)


MEANT = [
    Meant(
        "the-statement-before-may-have-run-elsewhere",
        "outside of a transaction the statement before may have run on another connection",
        _asks_for_previous,
    ),
    Meant(
        "the-statement-before-may-have-run-elsewhere",
        "the same, asked of the driver: connection.connection.insert_id()",
        _asks_driver_for_previous,
    ),
]


def inserts(step: list) -> bool:
    """Whether a later step may ask for the id that this one has made."""
    text = str(step[1:]).upper()
    return any(word in text for word in ("INSERT", "REPLACE", "CALL", "LAST_INSERT_ID(", "EXECUTE"))


def may_differ_anywhere(program: list, variant: Variant) -> bool:
    """Programs whose outcome nobody can promise.

    A trigger that changes the session leaves no trace in the text of a statement, and mysqlclient
    does not show what the server says: who-tells-that-a-session-was-changed.
    """
    return variant.driver == "mysqlclient" and any(text in str(program) for text in TRIGGER)
