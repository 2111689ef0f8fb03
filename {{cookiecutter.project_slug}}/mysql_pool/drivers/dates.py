"""Dates of a result, read in C.

Both drivers read a DATETIME in Python, piece by piece: 2 to 5 us each, and a seventh of all that a
worker computes for a page of 200 rows which have one. Python reads ISO 8601, which is what the
servers send, in 0.3 us.
"""

from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from typing import Any

Read = Callable[[str], object]
#: By the type of a field; the drivers' own tables also have Python's types, to write.
Converters = dict[Any, Any]

# FIELD_TYPE of the protocol, the same for both drivers.
TIMESTAMP, DATE, DATETIME = 7, 10, 12
QUICK: dict[int, Read] = {
    TIMESTAMP: datetime.fromisoformat,
    DATETIME: datetime.fromisoformat,
    DATE: date.fromisoformat,
}


@cache  # the same function each time: the pools of equal parameters are one
def _in_c(read: Read, of_driver: Read) -> Read:
    def convert(value: str) -> object:
        try:
            return read(value)
        except (ValueError, TypeError):  # zero dates, bytes: the driver decides
            return of_driver(value)

    return convert


def quick_dates(conv: Converters, of_driver: Converters) -> Converters:
    """A driver's ``conv`` with quick converters in place of its own, ``of_driver``; others stay."""
    return conv | {
        kind: _in_c(read, of_driver[kind])
        for kind, read in QUICK.items()
        if conv.get(kind) is of_driver[kind]
    }
