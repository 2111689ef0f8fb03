"""What the log tells of a pool at 3 a.m.: who holds the connections, and who has forgotten one."""

import logging
import time
from collections import Counter

from .concurrency import Owner, frame_of, name_of, origin_of
from .places import Place, describe, place
from .slot import OPEN, Slot

logger = logging.getLogger("mysql_pool")

# How often the log tells of timeouts: a full pool times out many waiters at the same time.
TELL_TIMEOUTS_EVERY = 1  # seconds
# How often the log tells of connections that were not given back: code that forgets one does it
# with every call.
TELL_LEAKS_EVERY = 60  # seconds


def describe_holders(slots: list[Slot], at_most: int = 5) -> str:
    """The longest holders of connections, and where in the project's code each is now."""
    held = [(slot.since, slot.owner) for slot in slots if slot.state is OPEN and slot.in_use]
    if not held:
        return "Nobody holds a connection."
    now = time.monotonic()
    longest = sorted(held, key=lambda one: one[0])[:at_most]
    lines = [f"The {len(longest)} that hold a connection longest:"]
    for since, owner in longest:
        where = place(frame_of(owner)) if owner is not None else None
        told = describe(where) if where else "running now (the one that writes this)"
        lines.append(f"  {now - since:8.3f} s  {told}")
    return "\n".join(lines)


def describe_leak(owner: Owner | None, where: Place | None) -> str:
    """What is known of a connection that ``owner`` never gave back; ``where`` it took it."""
    if owner is None:
        return "interrupted on its way back"
    if where is not None:
        return f"taken at {describe(where)}"
    started = place(origin_of(owner))
    name = name_of(owner)
    return f"by {name}, started at {describe(started)}" if started else f"by {name}"


class TimeoutLog:
    """Tells of checkouts that timed out: once for all that time out together."""

    def __init__(self) -> None:
        self._told_at = float("-inf")
        self._untold = 0

    def tell(self, message: str, slots: list[Slot]) -> None:
        """Log the message and the holders of ``slots``, or only count it if that was just done."""
        now = time.monotonic()
        if now - self._told_at < TELL_TIMEOUTS_EVERY:
            self._untold += 1
            return
        others, self._untold, self._told_at = self._untold, 0, now
        if others:
            message += f" ({others} more like this since the last time)"
        logger.warning("%s.\n%s", message, describe_holders(slots))


class LeakLog:
    """Tells of connections that were not given back, all of a minute together."""

    def __init__(self, name: str):
        self._name = name
        self._told_at = float("-inf")
        self._untold: Counter[str] = Counter()
        self.has_seen_any = False
        """From the first leak on it is noted where connections are taken."""

    def note(self, slot: Slot) -> None:
        """This connection was lost by its owner."""
        self._untold[describe_leak(slot.owner, slot.where)] += 1
        self.has_seen_any = True

    def tell(self, now: float) -> None:
        """Log what was noted, unless that was done within the last minute."""
        if not self._untold or now - self._told_at < TELL_LEAKS_EVERY:
            return
        untold, self._untold, self._told_at = self._untold, Counter(), now
        logger.warning(
            "%s: %d greenlets or threads ended and kept their connections. Wrap code that runs "
            "outside a request in mysql_pool.close_connection. (Said once a minute.)\n%s",
            self._name,
            untold.total(),
            "\n".join(f"  {count} x {told}" for told, count in untold.most_common(5)),
        )
