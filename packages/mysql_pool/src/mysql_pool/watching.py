"""Who looks after a pool: for those who wait, and for what was lost on its way.

One watcher looks while anybody waits, one keeper closes what has been idle or alive too long. What
they find is what nobody else can see: a greenlet that ended with its connection, a session that was
dropped, an exception that struck between two steps, a worker that was killed.
"""

import logging
import threading
import time
from collections import Counter

from .concurrency import current, in_background, is_dead, patched
from .reports import describe_leak
from .slot import CONNECTING, OPEN, Slot

logger = logging.getLogger("mysql_pool")

# How often somebody looks, while anybody waits, for connections that were not given back.
WATCH_EVERY = 0.5  # seconds
# How often the log says so: code that forgets does it with every call.
TELL_EVERY = 60  # seconds


class Watching:
    """The part of `Pool` that looks after its slots; it has no state of its own."""

    def _watch(self) -> None:
        """Somebody looks, as long as anybody waits, for what waiters cannot see: one for all."""
        watcher = self._watcher
        if watcher is None or is_dead(watcher[0]):
            self._watcher = (current(),)  # until it has begun
            try:
                in_background(self._watch_waiters)
            except RuntimeError as error:  # can't start new thread
                self._watcher = None
                logger.warning("%s: nobody looks for lost connections: %s", self.name, error)

    def _watch_waiters(self) -> None:
        me = self._watcher = (current(),)
        quiet = 0
        try:
            while quiet < 10 and self._watcher is me:
                # Who comes meanwhile is woken late by a tenth of the time that is allowed at most.
                until = min((one.deadline for one in list(self._waiters)), default=float("inf"))
                pause = min(WATCH_EVERY, self.timeout / 10, until - time.monotonic())
                time.sleep(max(pause, 0.005))
                quiet = 0 if self._waiters else quiet + 1
                if self._waiters:
                    now = time.monotonic()
                    self.reconcile(now)
                    self._serve()
                    self._wake_late(now)
        finally:
            if self._watcher is me:
                self._watcher = None
                if self._waiters:  # somebody came, or this was interrupted
                    self._watch()

    def _wake_late(self, now: float) -> None:
        """Wake those whose time is over, where they do not wake up by themselves."""
        with self._lock:
            for waiter in list(self._waiters):
                if waiter.deadline <= now and not waiter.keeps_time:
                    waiter.wake()
                    self._waiters.pop(waiter)

    def start_keeper(self) -> None:
        """Somebody closes what has been idle or alive too long, as long as there is anything."""
        keeper = self._keeper
        # A program with one thread (manage.py) ends soon, and may fork: Python warns about threads.
        # Its connections are looked at when they are handed out.
        if (keeper is None or is_dead(keeper[0])) and (
            patched() or threading.current_thread() is not threading.main_thread()
        ):
            self._keeper = (current(),)
            try:
                in_background(self._keep)
            except RuntimeError:
                self._keeper = None  # the next connection that is opened tries again

    def _keep(self) -> None:
        me = self._keeper = (current(),)
        while self._slots and self._keeper is me:
            time.sleep(max(min(self.max_idle / 4, 15), 0.05))
            now = time.monotonic()
            self.reconcile(now)
            for slot in self._condemn_overdue(now):
                self.hang_up(slot)
        if self._keeper is me:
            self._keeper = None

    def _condemn_overdue(self, now: float) -> list[Slot]:
        condemned = []
        with self._lock:
            for slot in list(self._idle):
                reason = self._overdue(slot.connection, now)
                if reason is not None:
                    self._idle.remove(slot)
                    self.condemn(slot, reason)
                    condemned.append(slot)
        return condemned

    def reconcile(self, now: float) -> None:
        """Find what was lost on its way: its holder has ended or was interrupted, or whoever was to
        open or close it has. What is clean is idle again, everything else is closed."""
        if now - self._reconciled_at < WATCH_EVERY:
            return
        self._reconciled_at = now
        forgotten, condemned = [], []
        with self._lock:
            idle = set(self._idle)
            for slot in list(self._slots):
                if slot.state is OPEN:
                    if slot not in idle and not self._is_right(slot, now):
                        condemned.append(slot)
                elif slot.is_forgotten and now - slot.since > WATCH_EVERY:
                    (forgotten if slot.state is CONNECTING else condemned).append(slot)
            for waiter in [one for one in self._waiters if one.served]:
                waiter.wake()  # it has something, and was not told
                self._waiters.pop(waiter)
        for slot in forgotten:
            self.forget_slot(slot)
        for slot in condemned:
            self.hang_up(slot)
        self._tell_leaks(now)

    def _is_right(self, slot: Slot, now: float) -> bool:
        """Whether an open slot that is not idle is somebody's; if it was lost, it is handed on, or
        condemned. Lock held."""
        holder = slot.holder and slot.holder()
        if slot.in_use:
            if not is_dead(slot.owner):
                return True
            holder.held = None
        elif slot.connection.clean and (slot.holder is None or holder is not None):
            # An exception struck between two assignments; nothing was done since.
            slot.taken_back()
            return self.hand_on(slot, now)
        self._untold[describe_leak(slot.owner, slot.where)] += 1
        self._note_places = True
        slot.taken_back()
        self.condemn(slot, "leaked")
        return False

    def _tell_leaks(self, now: float) -> None:
        if not self._untold or now - self._told_at < TELL_EVERY:
            return
        untold, self._untold, self._told_at = self._untold, Counter(), now
        logger.warning(
            "%s: %d greenlets or threads ended and kept their connections. Wrap code that runs "
            "outside a request in mysql_pool.close_connection. (Said once a minute.)\n%s",
            self.name,
            untold.total(),
            "\n".join(f"  {count} x {told}" for told, count in untold.most_common(5)),
        )
