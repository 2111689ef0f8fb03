"""Two background tasks of a pool, which find what was lost.

One runs while there are waiters. The other closes connections that were idle or alive for too long.
Both find connections that no caller gives back any more: of a greenlet that ended with it, of a
session that was dropped, of an exception that struck between two steps, of a task that was killed.
"""

import logging
import threading
import time
from collections.abc import Callable

from .closing import Closer
from .concurrency import Owner, current, in_background, is_dead, patched
from .inventory import Inventory
from .reports import LeakLog
from .slot import CONNECTING, OPEN, Slot

logger = logging.getLogger("mysql_pool")

# How often the pool looks, while there are waiters, for connections that were not given back.
WATCH_EVERY = 0.5  # seconds


class Watcher:
    """Looks after the slots of a pool.

    Args:
        name: of the pool, for the log.
        closer: closes what was lost.
        forget_slot: frees a slot that nobody opens any more.
        serve: gives what is idle to those who wait.
    """

    def __init__(
        self,
        inventory: Inventory,
        closer: Closer,
        *,
        name: str,
        forget_slot: Callable[[Slot], None],
        serve: Callable[[], None],
    ):
        self._inventory, self._closer = inventory, closer
        self._name = name
        self._forget_slot, self._serve = forget_slot, serve
        self.leaks = LeakLog(name)
        self.start_anew()

    def start_anew(self) -> None:
        """At the start, and in the child of a fork: nobody looks."""
        # The greenlet or thread of each task. In a tuple, because the same one may begin twice.
        self._watching: tuple[Owner] | None = None
        self._keeping: tuple[Owner] | None = None
        self._reconciled_at = 0.0

    # -- for those who wait ----------------------------------------------------------------

    def watch(self) -> None:
        """Have one task look, as long as anybody waits, for what waiters cannot see."""
        watching = self._watching
        if watching is None or is_dead(watching[0]):
            self._watching = (current(),)  # until it has begun
            try:
                in_background(self._watch_waiters)
            except RuntimeError as error:  # can't start new thread
                self._watching = None
                logger.warning("%s: nobody looks for lost connections: %s", self._name, error)

    def _watch_waiters(self) -> None:
        inventory = self._inventory
        me = self._watching = (current(),)
        quiet = 0
        try:
            while quiet < 10 and self._watching is me:
                # A waiter that comes meanwhile is woken late by a tenth of the timeout at most.
                until = min((one.deadline for one in list(inventory.waiters)), default=float("inf"))
                a_tenth = inventory.limits.timeout / 10
                pause = min(WATCH_EVERY, a_tenth, until - time.monotonic())
                time.sleep(max(pause, 0.005))
                quiet = 0 if inventory.waiters else quiet + 1
                if inventory.waiters:
                    now = time.monotonic()
                    self.reconcile(now)
                    self._serve()
                    self._wake_late(now)
        finally:
            if self._watching is me:
                self._watching = None
                if inventory.waiters:  # a waiter came, or this was interrupted
                    self.watch()

    def _wake_late(self, now: float) -> None:
        """Wake those whose time is over, where they do not wake up by themselves."""
        inventory = self._inventory
        with inventory.lock:
            for waiter in list(inventory.waiters):
                if waiter.deadline <= now and not waiter.keeps_time:
                    waiter.wake()
                    inventory.waiters.pop(waiter)

    # -- for what is idle ------------------------------------------------------------------

    def start_keeper(self) -> None:
        """Have one task close what has been idle or alive too long, while there is any slot."""
        keeping = self._keeping
        # A program with one thread (manage.py) ends soon, and may fork: Python warns about threads.
        # Its connections are looked at when they are handed out.
        if (keeping is None or is_dead(keeping[0])) and (
            patched() or threading.current_thread() is not threading.main_thread()
        ):
            self._keeping = (current(),)
            try:
                in_background(self._keep)
            except RuntimeError:
                self._keeping = None  # the next connection that is opened tries again

    def _keep(self) -> None:
        inventory = self._inventory
        me = self._keeping = (current(),)
        while inventory.slots and self._keeping is me:
            time.sleep(max(min(inventory.limits.max_idle / 4, 15), 0.05))
            now = time.monotonic()
            self.reconcile(now)
            for slot in inventory.condemn_overdue(now):
                self._closer.hang_up(slot)
        if self._keeping is me:
            self._keeping = None

    # -- for what was lost -----------------------------------------------------------------

    def reconcile(self, now: float) -> None:
        """Find what was lost on its way: its holder has ended or was interrupted, or the task that
        was to open or close it has. What is clean is idle again, everything else is closed.

        Does nothing if it was done within the last `WATCH_EVERY` seconds.
        """
        if now - self._reconciled_at < WATCH_EVERY:
            return
        self._reconciled_at = now
        inventory = self._inventory
        forgotten: list[Slot] = []
        condemned: list[Slot] = []
        with inventory.lock:
            idle = set(inventory.idle)
            for slot in list(inventory.slots):
                if slot.state is OPEN:
                    if slot not in idle and not self._is_right(slot, now):
                        condemned.append(slot)
                elif slot.is_forgotten and now - slot.since > WATCH_EVERY:
                    (forgotten if slot.state is CONNECTING else condemned).append(slot)
            for waiter in [one for one in inventory.waiters if one.served]:
                waiter.wake()  # it has something, and was not told
                inventory.waiters.pop(waiter)
        for slot in forgotten:
            self._forget_slot(slot)
        for slot in condemned:
            self._closer.hang_up(slot)
        self.leaks.tell(now)

    def _is_right(self, slot: Slot, now: float) -> bool:
        """Whether an open slot that is not idle has a holder that lives. A connection that was lost
        is handed on if it is clean, else condemned: then False. Lock held."""
        holder = None if slot.holder is None else slot.holder()
        if slot.in_use:
            if slot.owner is None or not is_dead(slot.owner):
                return True
            assert holder is not None
            holder.held = None
        elif (
            slot.connection is not None
            and slot.connection.clean
            and (slot.holder is None or holder is not None)
        ):
            # An exception struck between two assignments; nothing was done since.
            slot.taken_back()
            return self._inventory.hand_on(slot, now)
        self.leaks.note(slot)
        slot.taken_back()
        self._inventory.condemn(slot, "leaked")
        return False
