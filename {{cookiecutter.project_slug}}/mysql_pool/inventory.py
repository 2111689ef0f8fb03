"""What a pool has: its slots, the idle ones among them, and the queue of those who wait.

Each step of a slot (lent, handed on, condemned) is made here, under one lock. Nothing here waits,
opens or closes: what is condemned here has to be closed by who asked (``Closer.hang_up``).
"""

import time
from collections import Counter, OrderedDict, deque

from .concurrency import Mutex
from .drivers.contract import PhysicalConnection
from .holder import Spec
from .ledger.share import Share
from .limits import Limits
from .slot import CLOSING, OPEN, Slot
from .waiter import Waiter


class Inventory:
    """The state that the parts of a pool share. "Lock held": the caller holds ``lock``."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.share: Share | None = None
        """This pool's part of its host's connections, where those are counted."""
        self.closed_by: Counter[str] = Counter()
        """How many connections were condemned, by reason."""
        self.start_empty()

    def start_empty(self) -> None:
        """Without any slot and without any waiter: at the start, and in the child of a fork."""
        self.lock = Mutex()
        self.slots: set[Slot] = set()
        """What exists. ``idle`` and ``waiters`` can be made anew from it."""
        self.idle: deque[Slot] = deque()
        """The one that came back last is the last one, and goes out first."""
        self.waiters: OrderedDict[Waiter, Spec] = OrderedDict()
        """With what they wait for; the first has waited longest, or is urgent."""
        self.alive_at = 0.0
        """When the server was last heard of, on the pool's clock."""
        self.closed_at = 0.0
        """When the pool was last closed. A connection that was asked for before is not kept."""

    # -- the bound -------------------------------------------------------------------------

    @property
    def most(self) -> int:
        """So many connections the pool may have at this moment."""
        most = self.limits.max_conns
        return most if self.share is None else min(most, self.share.most)

    def add_slot(self, spec: Spec, now: float, *, inline: bool) -> Slot | None:
        """A slot for one more connection; None if the bound is reached. Lock held."""
        if len(self.slots) >= self.limits.max_conns:
            return None
        seat = None
        if self.share is not None:
            seat = self.share.take(now)
            if seat is None:
                return None
        slot = Slot(spec, now, inline, seat)
        self.slots.add(slot)
        return slot

    def remove_slot(self, slot: Slot, *, certain: bool = True) -> None:
        """The slot is free. Not ``certain``: the server may know its connection. Lock held."""
        if slot in self.slots:
            self.slots.discard(slot)
            if self.share is not None and slot.seat is not None:
                self.share.give_back(slot.seat, certain=certain)

    def look_around(self, now: float) -> None:
        """See what other pools of the host want, if this one has reached its bound. Lock held."""
        if self.share is not None and len(self.slots) < self.limits.max_conns:
            self.share.look(now)

    # -- connections that are lent and come back -------------------------------------------

    def take_idle(self, spec: Spec) -> Slot | None:
        """The connection that came back last, of those with this spec. Lock held."""
        idle = self.idle
        for _ in range(len(idle)):
            slot = idle.pop()
            if slot.state is not OPEN or slot.holder is not None:
                continue  # it was in here twice
            if slot.spec is spec:
                return slot
            idle.appendleft(slot)
        return None

    def overdue(self, connection: PhysicalConnection, now: float) -> str | None:
        """Why an idle connection has to be closed: its age, or the time that it was idle."""
        if now >= connection.expires_at:
            return "age"
        return "idle" if now - connection.idle_since >= self.limits.max_idle else None

    def unfit_to_lend(self, slot: Slot, now: float) -> str | None:
        """Why an idle connection cannot be lent; None if it can. One system call."""
        connection = slot.connection
        assert connection is not None
        if now >= connection.expires_at or now - connection.idle_since >= self.limits.max_idle:
            return self.overdue(connection, now)
        # Not quiet: the server has closed it already (restart, KILL, wait_timeout).
        return None if connection.is_quiet() else "lost"

    def hand_on(self, slot: Slot, now: float, reason: str | None = None) -> bool:
        """Give a connection to the longest waiter or to the idle ones, and return True. With a
        ``reason``, or if it is not fit, it is condemned: False. Lock held."""
        connection = slot.connection
        assert connection is not None
        if reason is None:
            reason = self._unfit_to_keep(slot, connection, now)
        if reason is None:
            self.alive_at = connection.idle_since = now
            waiter = self.first_waiter() if self.waiters else None
            if waiter is None:
                self.idle.append(slot)
                return True
            if self.waiters[waiter] is slot.spec and not waiter.holder.inline:
                self.serve_with(waiter, slot, now)
                return True
            reason = "other parameters"  # the waiter needs its place
        self.condemn(slot, reason)
        return False

    def _unfit_to_keep(self, slot: Slot, connection: PhysicalConnection, now: float) -> str | None:
        if not connection.is_reusable():
            return "broken"
        if now >= connection.expires_at:
            return "age"
        if slot.inline:
            return "native thread"
        # What is closing already does not count: it makes room.
        if len(self.slots) > self.most and self._not_closing() > self.most:
            return "surplus"
        if not self.waiters and len(self.idle) >= self.limits.reuse_conns:
            return "surplus"
        return None

    def _not_closing(self) -> int:
        return sum(slot.state is not CLOSING for slot in self.slots)

    # -- slots that end --------------------------------------------------------------------

    def condemn(self, slot: Slot, reason: str) -> None:
        """From here on nobody gets this connection; ``Closer.hang_up`` has to follow. Lock held.

        The last assignment is the step.
        """
        self.closed_by[reason] += 1
        assert slot.connection is not None
        slot.unfinished = slot.connection.leaves_transaction()
        slot.interrupted, slot.since = slot.connection.busy, time.monotonic()
        slot.worker = None
        slot.state = CLOSING

    def condemn_surplus(self) -> list[Slot]:
        """Condemn idle connections above the bound; those in use are closed when they come back."""
        with self.lock:
            left = self._not_closing()
            condemned: list[Slot] = []
            while left - len(condemned) > self.most and self.idle:
                slot = self.idle.popleft()
                if slot.state is OPEN and slot.holder is None:
                    self.condemn(slot, "surplus")
                    condemned.append(slot)
        return condemned

    def condemn_overdue(self, now: float) -> list[Slot]:
        """Condemn what has been idle or alive for too long."""
        condemned = []
        with self.lock:
            for slot in list(self.idle):
                assert slot.connection is not None
                reason = self.overdue(slot.connection, now)
                if reason is not None:
                    self.idle.remove(slot)
                    self.condemn(slot, reason)
                    condemned.append(slot)
        return condemned

    def condemn_idle(self) -> list[Slot]:
        """Condemn all idle connections; those in use expire, and are closed when they come back."""
        with self.lock:
            self.closed_at = time.monotonic()
            idle, self.idle = [slot for slot in self.idle if slot.holder is None], deque()
            for slot in self.slots:
                if slot.state is OPEN and slot.connection is not None:
                    slot.connection.expires_at = 0.0
            for slot in idle:
                self.condemn(slot, "pool closed")
        return idle

    def condemn_server(self, server: str | None) -> list[Slot]:
        """Condemn idle connections to this server (None: to any); those in use expire."""
        condemned = []
        with self.lock:
            for slot in self.slots:
                connection = slot.connection
                if slot.state is not OPEN or connection is None:
                    continue
                if server in (None, connection.server):
                    connection.expires_at = 0.0
                    if slot in self.idle:
                        self.idle.remove(slot)
                        self.condemn(slot, "wrong server")
                        condemned.append(slot)
        return condemned

    def discard(self, slot: Slot) -> None:
        """This slot is free: nothing of it is at the server."""
        with self.lock:
            self.remove_slot(slot)
        if slot.connection is not None:
            slot.connection.slot = None  # no cycle that only a garbage collection would end

    # -- the queue -------------------------------------------------------------------------

    def first_waiter(self) -> Waiter | None:
        """The longest waiter that has nothing yet. Lock held."""
        return next((waiter for waiter in self.waiters if not waiter.served), None)

    def serve_with(self, waiter: Waiter, slot: Slot, now: float) -> None:
        """Lend an unused connection to a waiter. Lock held."""
        # In this order: the watcher wakes a served waiter that is still in the queue.
        slot.lend(waiter.holder, waiter.owner, now, waiter.place)
        waiter.wake()
        self.waiters.pop(waiter, None)

    def serve_idle(self) -> list[Slot]:
        """Lend idle connections to waiters. Returns what was condemned meanwhile: connections that
        are not fit, or whose place a waiter with other parameters needs."""
        condemned = []
        with self.lock:
            now = time.monotonic()
            while self.idle and (waiter := self.first_waiter()) is not None:
                slot = None if waiter.holder.inline else self.take_idle(self.waiters[waiter])
                reason = self.unfit_to_lend(slot, now) if slot else "other parameters"
                if slot is not None and reason is None:
                    self.serve_with(waiter, slot, now)
                    continue
                if slot is None:
                    if len(self.slots) < self.most or not self.idle:
                        break
                    slot = self.idle.popleft()  # the waiter needs its place
                self.condemn(slot, reason or "other parameters")
                condemned.append(slot)
                if reason == "other parameters":
                    break
        return condemned

    def leave_queue(self, waiter: Waiter) -> None:
        """The waiter has something, or waits no longer."""
        with self.lock:
            self.waiters.pop(waiter, None)
