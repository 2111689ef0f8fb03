"""How a pool opens connections: beside the waiters, few at a time, and patiently when refused.

Who waits never connects itself: it may be killed, or interrupted by a signal handler, and it would
not see the connection that comes free meanwhile. (Native threads beside gevent's have to: their
sockets wait in a hub of their own.)
"""

import logging
import random
import time

from .concurrency import in_background
from .slot import CONNECTING, OPEN, Slot

logger = logging.getLogger("mysql_pool")

# How many connections are opened at the same time. Each costs this process about 1 ms of CPU and
# the server a thread; a burst on a cold pool is served by the first ones while the rest open.
MAX_CONNECTING = 8
# After a refusal one connector tries again after 50 ms, then twice as long each time, up to this.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds


class Opening:
    """The part of `Pool` that opens connections; it has no state of its own."""

    def open_for_waiters(self) -> None:
        """Have connections opened for those who wait, as far as the bound allows."""
        for slot in self._claim_slots():
            waiter = slot.holder  # of an inline one, for this moment
            if slot.inline:
                slot.holder = None
                waiter.granted = slot
                waiter.wake()
                continue
            try:
                in_background(self._open, slot)
            except RuntimeError:  # can't start new thread; at the end of the process none can
                try:
                    self._open(slot)
                except BaseException:
                    if slot.state is CONNECTING:
                        self.forget_slot(slot)
                    raise

    def forget_own_attempts(self, worker) -> None:
        """Free what ``worker``, who begins anew now, was in the middle of opening by itself."""
        for slot in list(self._slots):
            if slot.state is CONNECTING and slot.worker is worker:
                self.forget_slot(slot)

    def _claim_slots(self) -> list[Slot]:
        """Take slots for as many new connections as waiters need."""
        if len(self._slots) >= self.maxsize or not self._waiters:
            return []
        claimed = []
        with self._lock:
            now = time.monotonic()
            connecting = sum(slot.state is CONNECTING for slot in list(self._slots))
            most = 1 if self._refusals else MAX_CONNECTING
            skip = connecting  # as many of the waiters as connections are on their way
            for waiter, spec in list(self._waiters.items())[: self.maxsize + connecting]:
                if waiter.served:
                    continue
                if skip:
                    skip -= 1
                    continue
                if len(self._slots) >= self.maxsize or connecting >= most:
                    break
                slot = Slot(spec, now, waiter.holder.inline)
                if slot.inline:
                    slot.holder, slot.worker = waiter, waiter.owner
                    self._waiters.pop(waiter)
                self._slots.add(slot)
                claimed.append(slot)
                connecting += 1
        return claimed

    def open_inline(self, slot: Slot, holder) -> None:
        """Open the connection of a slot that was granted to ``holder``, in its own thread."""
        try:
            slot.works()
            connection = slot.spec.connect()
        except BaseException:
            self.connect_errors += 1
            self.forget_slot(slot)
            raise
        with self._lock:
            now = self._opened(slot, connection)
            slot.lend(holder, slot.worker, now, None)

    def _open(self, slot: Slot) -> None:
        """Open one connection for the longest waiter; its slot is taken already."""
        slot.works()
        try:
            pause = self._connect_at - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            if slot not in self._slots:
                return
            if not self._waiters:
                self.forget_slot(slot)
                return
            begun = time.monotonic()
            connection = slot.spec.connect()
        except BaseException as error:
            self._failed_to_open(slot, error)
            if not isinstance(error, Exception):
                raise
            return
        if slot not in self._slots:  # the process has forked, or the slot was given up
            connection.disown()
            return
        with self._lock:
            now = self._opened(slot, connection)
            if begun < self._closed_at:
                connection.expires_at = 0.0  # close() was called meanwhile
            kept = self.hand_on(slot, now)
        if not kept:
            self.hang_up(slot)
        self.start_keeper()
        self.open_for_waiters()

    def _opened(self, slot: Slot, connection) -> float:
        """Lock held."""
        now = time.monotonic()
        connection.slot = slot
        connection.expires_at = float("inf")
        if self.max_age:
            connection.expires_at = now + self.max_age * random.uniform(0.9, 1)  # noqa: S311
        connection.idle_since = self._alive_at = now
        connection.clean = True
        self._refusals, self._connect_at, self._last_error = 0, 0.0, None
        self.created += 1
        self.peak = max(self.peak, len(self._slots))
        slot.connection, slot.since = connection, now
        slot.state = OPEN
        return now

    def _failed_to_open(self, slot: Slot, error: BaseException) -> None:
        """Waiters go on waiting if it may be better in a moment; else the longest gets the error.

        A server that is down, or full, is asked by one connector for all, with growing pauses: it
        would not come up sooner. The pauses differ from process to process, or all would come back
        at the same time.
        """
        self.connect_errors += 1
        self._last_error = error
        with self._lock:
            self._slots.discard(slot)
            if isinstance(error, Exception) and not self._is_refusal(error):
                waiter = next((w for w, spec in self._waiters.items() if spec is slot.spec), None)
                if waiter is not None and not waiter.served:
                    self._waiters.pop(waiter)
                    waiter.error = error
                    waiter.wake()
            else:
                pause = min(FIRST_PAUSE * 2**self._refusals, LONGEST_PAUSE)
                self._refusals = min(self._refusals + 1, 10)
                self._connect_at = time.monotonic() + pause * random.uniform(0.5, 1)  # noqa: S311
        self.open_for_waiters()

    def forget_slot(self, slot: Slot) -> None:
        """This slot is free: nothing of it is at the server."""
        with self._lock:
            self._slots.discard(slot)
        self._serve()
