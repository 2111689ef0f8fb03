"""How a pool opens connections: beside the waiters, few at a time, and patiently when refused.

A waiter never connects itself: it may be killed, or interrupted by a signal handler, and it would
not see the connection that comes free meanwhile. (Native threads beside gevent's have to: their
sockets wait in a hub of their own.)
"""

import random
import time
from collections.abc import Callable

from .closing import Closer
from .concurrency import Owner, current, in_background
from .drivers.contract import PhysicalConnection
from .holder import Holder
from .inventory import Inventory
from .slot import CONNECTING, OPEN, Slot
from .watching import Watcher

# How many connections are opened at the same time. Each costs this process about 1 ms of CPU and
# the server a thread; a burst on a cold pool is served by the first ones while the rest open.
MAX_CONNECTING = 8
# After a refusal one connector tries again after 50 ms, then twice as long each time, up to this.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds


class Opener:
    """Opens connections for those who wait.

    Args:
        closer: closes what nobody can use any more.
        watcher: looks after idle connections, once there are any.
        forget_slot: frees a slot whose connection could not be opened.
        is_refusal: whether an error of ``Spec.connect`` may be gone in a moment.
    """

    def __init__(
        self,
        inventory: Inventory,
        closer: Closer,
        watcher: Watcher,
        *,
        forget_slot: Callable[[Slot], None],
        is_refusal: Callable[[BaseException], bool],
    ):
        self._inventory = inventory
        self._closer, self._watcher = closer, watcher
        self._forget_slot = forget_slot
        self._is_refusal = is_refusal
        self.created = self.connect_errors = self.peak = 0
        self.start_anew()

    def start_anew(self) -> None:
        """At the start, and in the child of a fork: nothing is known of the server."""
        self.last_error: BaseException | None = None
        """Why the last attempt failed; None since the last one that succeeded."""
        self.refusals = 0
        """How often the server has refused since the last connection that it gave."""
        self._connect_at = 0.0

    def open_for_waiters(self) -> None:
        """Have connections opened for those who wait, as far as the bound allows."""
        for slot in self._claim_slots():
            if slot.inline:
                continue
            try:
                in_background(self._open, slot)
            except RuntimeError:  # can't start new thread; at the end of the process none can
                try:
                    self._open(slot)
                except BaseException:
                    if slot.state is CONNECTING:
                        self._forget_slot(slot)
                    raise

    def forget_attempts_of(self, worker: Owner) -> None:
        """Free the slots that ``worker``, who begins anew now, was opening in its own thread."""
        for slot in list(self._inventory.slots):
            if slot.state is CONNECTING and slot.worker is worker:
                self._forget_slot(slot)

    def _claim_slots(self) -> list[Slot]:
        """Take slots for as many new connections as waiters need."""
        inventory = self._inventory
        if not inventory.waiters:
            return []
        if len(inventory.slots) >= inventory.most and inventory.share is None:
            return []
        claimed = []
        with inventory.lock:
            now = time.monotonic()
            if len(inventory.slots) >= inventory.most:
                inventory.look_around(now)
            bound = inventory.most
            if len(inventory.slots) >= bound:
                return []
            connecting = sum(slot.state is CONNECTING for slot in list(inventory.slots))
            most = 1 if self.refusals else MAX_CONNECTING
            skip = connecting  # as many of the waiters as connections are on their way
            for waiter, spec in list(inventory.waiters.items())[: bound + connecting]:
                if waiter.served:
                    continue
                if skip:
                    skip -= 1
                    continue
                if len(inventory.slots) >= bound or connecting >= most:
                    break
                slot = inventory.add_slot(spec, now, inline=waiter.holder.inline)
                if slot is None:
                    break
                if slot.inline:
                    slot.worker = waiter.owner
                    inventory.waiters.pop(waiter)
                claimed.append(slot)
                connecting += 1
                if slot.inline:
                    waiter.granted = slot
                    waiter.wake()
        return claimed

    def open_inline(self, slot: Slot, holder: Holder) -> None:
        """Open the connection of a slot that was granted to ``holder``, in its own thread.

        Raises what ``Spec.connect`` raises.
        """
        try:
            slot.works()
            connection = slot.spec.connect()
        except BaseException:
            self.connect_errors += 1
            self._forget_slot(slot)
            raise
        with self._inventory.lock:
            now = self._opened(slot, connection)
            slot.lend(holder, current(), now, None)

    def _open(self, slot: Slot) -> None:
        """Open one connection for the longest waiter; its slot is taken already."""
        inventory = self._inventory
        slot.works()
        try:
            pause = self._connect_at - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            if slot not in inventory.slots:
                return
            if not inventory.waiters:
                self._forget_slot(slot)
                return
            begun = time.monotonic()
            connection = slot.spec.connect()
        except BaseException as error:
            self._failed_to_open(slot, error)
            if not isinstance(error, Exception):
                raise
            return
        if slot not in inventory.slots:  # the process has forked, or the slot was given up
            connection.disown()
            return
        with inventory.lock:
            now = self._opened(slot, connection)
            if begun < inventory.closed_at:
                connection.expires_at = 0.0  # close() was called meanwhile
            kept = inventory.hand_on(slot, now)
        if not kept:
            self._closer.hang_up(slot)
        self._watcher.start_keeper()
        self.open_for_waiters()

    def _opened(self, slot: Slot, connection: PhysicalConnection) -> float:
        """Returns the time. The last assignment is the step. Lock held."""
        inventory = self._inventory
        now = time.monotonic()
        connection.slot = slot
        connection.expires_at = float("inf")
        if inventory.limits.max_age:
            age = inventory.limits.max_age * random.uniform(0.9, 1)  # noqa: S311 - spreads the ends
            connection.expires_at = now + age
        connection.idle_since = inventory.alive_at = now
        connection.clean = True
        self.refusals, self._connect_at, self.last_error = 0, 0.0, None
        self.created += 1
        self.peak = max(self.peak, len(inventory.slots))
        slot.connection, slot.since = connection, now
        slot.state = OPEN
        return now

    def _failed_to_open(self, slot: Slot, error: BaseException) -> None:
        """Waiters go on waiting if it may be better in a moment; else the longest gets the error.

        A server that is down, or full, is asked by one connector for all, with growing pauses: it
        would not come up sooner. The pauses differ from process to process, or all would come back
        at the same time.
        """
        inventory = self._inventory
        self.connect_errors += 1
        if slot not in inventory.slots:
            return  # the process has forked in the middle of it: those who wait now have others
        self.last_error = error
        with inventory.lock:
            inventory.remove_slot(slot)
            if isinstance(error, Exception) and not self._is_refusal(error):
                waiters = inventory.waiters
                waiter = next((w for w, spec in waiters.items() if spec is slot.spec), None)
                if waiter is not None and not waiter.served:
                    waiters.pop(waiter)
                    waiter.error = error
                    waiter.wake()
            else:
                pause = min(FIRST_PAUSE * 2**self.refusals, LONGEST_PAUSE)
                self.refusals = min(self.refusals + 1, 10)
                spread = random.uniform(0.5, 1)  # noqa: S311 - no secret
                self._connect_at = time.monotonic() + pause * spread
        self.open_for_waiters()
