"""Who holds the connections, and who has forgotten one, for the log at 3 a.m.

Costs nothing until something is to be told.
"""

import linecache
import os
import time
from functools import lru_cache

from .concurrency import frame_of, name_of, origin_of

_OWN = (
    os.path.join(os.path.dirname(__file__), ""),
    *("/django/db/", "/gevent/", "/pymysql/", "/MySQLdb/", "/threading.py"),
)


@lru_cache(maxsize=1024)
def _is_ours(filename: str) -> bool:
    return any(part in filename for part in _OWN)


def place(frame) -> tuple[str, int, str] | None:
    """File, line and function of the innermost frame of the project's own code; cheap."""
    innermost = frame
    while frame is not None and _is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    frame = frame or innermost
    return frame and (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def _describe(where: tuple[str, int, str]) -> str:
    """A ``place`` and its line of code, for people."""
    filename, number, name = where
    return f"{filename}:{number} in {name}: {linecache.getline(filename, number).strip()}"


def describe_holders(held: list[tuple], at_most: int = 5) -> str:
    """The longest holders of connections and where in the project's code each is now.

    ``held`` has ``(owner, since)`` for each.
    """
    if not held:
        return "Nobody holds a connection."
    now = time.monotonic()
    holders = sorted(held, key=lambda holder: holder[1])
    lines = [f"The {min(len(holders), at_most)} that hold a connection longest:"]
    for owner, since in holders[:at_most]:
        where = place(frame_of(owner))
        told = _describe(where) if where else "running now (the one that writes this)"
        lines.append(f"  {now - since:8.3f} s  {told}")
    return "\n".join(lines)


def describe_leak(owner, where: tuple[str, int, str] | None) -> str:
    """What is known of a connection that ``owner`` never gave back; ``where`` it took it."""
    if owner is None:
        return "interrupted on its way back"
    if where is not None:
        return f"taken at {_describe(where)}"
    started = place(origin_of(owner))
    name = name_of(owner)
    return f"by {name}, started at {_describe(started)}" if started else f"by {name}"
