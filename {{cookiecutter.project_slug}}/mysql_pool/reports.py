"""Who holds the connections just now, for the log at 3 a.m. Costs nothing until it is asked for."""

import time
import traceback

_OWN = ("/mysql_pool/", "/django/db/", "/gevent/", "/pymysql/", "/MySQLdb/", "/threading.py")


def describe_holders(held: dict, frame_of, at_most: int = 5) -> str:
    """The longest holders of connections and where in the project's code each is now.

    ``held`` maps connections to ``(owner, since)``; ``frame_of(owner)`` gives a stack frame.
    """
    now = time.monotonic()
    holders = sorted(held.copy().values(), key=lambda holder: holder[1])
    lines = [f"The {min(len(holders), at_most)} that hold a connection longest:"]
    for owner, since in holders[:at_most]:
        lines.append(f"  {now - since:8.3f} s  {_place(frame_of(owner))}")
    return "\n".join(lines)


def _place(frame) -> str:
    if frame is None:
        return "running now (the one that writes this)"
    stack = traceback.extract_stack(frame)
    for entry in reversed(stack):
        if not any(part in entry.filename for part in _OWN):
            return f"{entry.filename}:{entry.lineno} in {entry.name}: {entry.line}"
    return f"{stack[-1].filename}:{stack[-1].lineno} in {stack[-1].name}"
