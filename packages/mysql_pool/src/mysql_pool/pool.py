"""The pool: at most ``max_conns`` connections of this process at the server, at every moment.

It is a ``DatabaseConnectionPool`` of django-db-geventpool, so that code written for that finds
``get()``, ``put()``, ``close()``, ``size`` and ``maxsize``. All of it is replaced, because in
django-db-geventpool 4.0.8

* the bound is a race: ``get()`` checks the size, connects, and counts afterwards
  (MAX_CONNS=20 in 2 workers opened 89-108 connections under a burst);
* ``get()`` waits without limit, and a connection that is lost never wakes a waiter;
* every checkout sends a ``SELECT 1``.

Here a *slot* is taken before a connection is opened and given back when the server has closed it.
Waiters wait for a slot in a queue; what becomes free is handed to whoever has waited longest.
``opening`` and ``closing`` have the two ends of a connection's life, ``slot`` what a slot is, and
``watching`` has who looks after all of it.

Nothing here knows Django, SQL or a driver.
"""

import logging
import sys
import time
from collections import Counter, OrderedDict, deque
from functools import cache
from weakref import WeakKeyDictionary

from .closing import Closing
from .concurrency import Mutex, current
from .errors import PoolTimeout, TooManyWaiting
from .opening import Opening
from .reports import describe_holders, place
from .slot import CLOSING, CONNECTING, OPEN, Slot
from .waiter import Waiter
from .watching import Watching

try:
    from django_db_geventpool.backends.pool import DatabaseConnectionPool
except ImportError:  # projects on gthread or sync workers have no gevent, hence not this either
    DatabaseConnectionPool = object

logger = logging.getLogger("mysql_pool")

# How often the log tells of timeouts: a full pool times out many waiters at the same time.
TELL_TIMEOUTS_EVERY = 1  # seconds
# How often all connections may be taken for connections to the wrong server.
DISTRUST_EVERY = 1  # seconds


# So many sets of parameters are remembered without a connection: one for each tenant, say.
KNOWN_SPECS = 256


class Pool(Opening, Closing, Watching, DatabaseConnectionPool):
    """Connections for one process and one alias, to the server that its settings name.

    A *holder* is who takes a connection: it has ``held``, the connection or None, ``reference``, a
    weak reference to itself, and ``inline``, whether it has to open its connection by itself. A
    *spec* is what a connection is opened with: ``connect()`` opens one. Connections of different
    specs share the bound.

    Args (seconds and connections):
        kill: ``kill(connection, thread_id)`` ends another connection at the server.
        is_refusal: whether an error of ``connect`` may be gone in a moment.
        operational_error: the driver's class that ``PoolError``s are raised as too.
        options: see ``configure``.
    """

    def __init__(
        self, *, name: str, kill, is_refusal, operational_error: type[Exception], **options
    ):
        # Not calling super().__init__(): its queue is what is replaced here.
        self.name = name
        self._kill, self._is_refusal = kill, is_refusal
        self._timeout_error = _also_a(operational_error, PoolTimeout)
        self._refused_error = _also_a(operational_error, TooManyWaiting)
        self._start_empty()
        self.configure(**options)
        self.server_data = WeakKeyDictionary()  # what the backend asked the servers once, by spec
        self._specs: list[tuple] = []
        self._spec = None  # the last one, which is nearly always the next one
        self._told_at = self._timeouts_told_at = self._distrusted_at = float("-inf")
        self._untold: Counter[str] = Counter()
        self._untold_timeouts = 0
        self._note_places = False  # where connections are taken: from the first that is lost on

        self.peak = 0
        self.created = self.checkouts = self.waits = self.timeouts = self.refused = 0
        self.wait_seconds = self.held_seconds = 0.0
        self.connect_errors = 0
        self.closed_by: Counter[str] = Counter()
        self.pinned_by: Counter[str] = Counter()

    def configure(
        self,
        *,
        max_conns: int,
        reuse_conns: int,
        timeout: float,
        max_waiting: int,
        max_idle: float,
        max_age: float | None,
    ) -> None:
        """Set the limits; they hold from now on.

        Args:
            max_conns: the bound.
            reuse_conns: how many idle connections are kept; 0 closes each after use.
            timeout: how long a checkout waits.
            max_waiting: how many checkouts may wait at the same time; the next is refused.
            max_idle: idle connections are closed after this; has to be below ``wait_timeout``.
            max_age: connections are closed after this (a random tenth earlier, so that connections
                opened together do not end together); None for no limit.
        """
        before, self.maxsize = getattr(self, "maxsize", 0), max_conns
        self.reuse = reuse_conns
        self.timeout = timeout
        self.max_waiting = max_waiting
        self.max_idle = max_idle
        self.max_age = max_age
        if max_conns < before:
            self._shrink()

    def _shrink(self) -> None:
        """Close idle connections above the bound; those in use are closed when they come back."""
        with self._lock:
            left = sum(slot.state is not CLOSING for slot in self._slots)
            condemned = []
            while left - len(condemned) > self.maxsize and self._idle:
                slot = self._idle.popleft()
                if slot.state is OPEN and slot.holder is None:
                    self.condemn(slot, "surplus")
                    condemned.append(slot)
        for slot in condemned:
            self.hang_up(slot)

    def spec_for(self, key: dict, make):
        """The spec with this ``key``; ``make()`` builds it if there is none. Those of which there
        is no connection are forgotten when there are many."""
        known = self._spec
        if known is not None and known[0] == key:
            return known[1]
        with self._lock:
            found = next((one for one in self._specs if one[0] == key), None)
            if found is None:
                if len(self._specs) >= KNOWN_SPECS:
                    used = {slot.spec for slot in self._slots} | set(self._waiters.values())
                    self._specs = [one for one in self._specs if one[1] in used]
                found = (key, make())
                self._specs.append(found)
            self._spec = found
        return found[1]

    def _start_empty(self) -> None:
        self._lock = Mutex()
        self._slots: set[Slot] = set()  # what exists; everything else can be made from it
        self._idle: deque[Slot] = deque()  # last in, first out
        self._waiters: OrderedDict[Waiter, None] = OrderedDict()
        self._watcher = self._keeper = None  # who looks after the slots now
        self._last_error: Exception | None = None
        self._refusals = 0
        self._connect_at = 0.0
        self._alive_at = 0.0  # when the server has last been heard of
        self._silent: str | None = None  # the server that is taken for dead
        self._reconciled_at = 0.0
        self._closed_at = 0.0

    # -- checkout and release --------------------------------------------------------------

    def checkout(self, holder, spec, urgent: bool = False) -> None:
        """Give ``holder`` a connection; waits at most ``timeout`` seconds, first come first served.

        ``urgent`` goes to the head of the queue: for what makes a connection free. Raises
        ``PoolTimeout``, ``TooManyWaiting``, or whatever ``spec.connect`` raises.
        """
        now = time.monotonic()
        while True:
            with self._lock:
                # Nobody waits while there is an idle connection, so this overtakes nobody.
                slot = self._take_idle(spec) if self._idle and not holder.inline else None
                if slot is not None:
                    reason = self._unfit_to_lend(slot.connection, now)
                    if reason is None:
                        self.checkouts += 1
                        slot.lend(holder, current(), now, self._place())
                        return
                    self.condemn(slot, reason)
            if slot is None:
                self._wait(holder, spec, urgent, now)
                return
            self.hang_up(slot)

    def _take_idle(self, spec) -> Slot | None:
        """The connection that came back last, of those with this spec; lock held."""
        idle = self._idle
        for _ in range(len(idle)):
            slot = idle.pop()
            if slot.state is not OPEN or slot.holder is not None:
                continue  # it was in here twice
            if slot.spec is spec:
                return slot
            idle.appendleft(slot)
        return None

    def _overdue(self, connection, now: float) -> str | None:
        if now >= connection.expires_at:
            return "age"
        return "idle" if now - connection.idle_since >= self.max_idle else None

    def _unfit_to_lend(self, connection, now: float) -> str | None:
        if now >= connection.expires_at or now - connection.idle_since >= self.max_idle:
            return self._overdue(connection, now)
        # Not quiet: the server has closed it already (restart, KILL, wait_timeout).
        return None if connection.is_quiet() else "lost"

    def _wait(self, holder, spec, urgent: bool, since: float) -> None:
        waiter = Waiter(holder, since + self.timeout, self._place())
        self.forget_own_attempts(waiter.owner)
        try:
            with self._lock:
                self._enqueue(waiter, spec, urgent)
            self.reconcile(since)
            self._serve()
            self._watch()
            waiter.wait(waiter.deadline - time.monotonic())
            now = time.monotonic()
            self.waits += 1
            self.wait_seconds += now - since
            self._leave_queue(waiter)
            if waiter.granted is not None:
                self.open_inline(waiter.granted, holder)
            elif not waiter.served:
                self.timeouts += 1
                raise self._timeout_error(self._timeout_message(now - since))
            if waiter.error is not None:
                raise waiter.error
            self.checkouts += 1
        except BaseException:
            # Killed or timed out: what was handed over meanwhile goes on.
            self._leave_queue(waiter)
            self._give_up(waiter)
            raise

    def _enqueue(self, waiter: Waiter, spec, urgent: bool) -> None:
        """A place in the queue; lock held."""
        if urgent:
            self._waiters[waiter] = spec
            self._waiters.move_to_end(waiter, last=False)
            return
        if len(self._waiters) >= self.max_waiting and (
            self._refusals or len(self._slots) >= self.maxsize
        ):
            self.refused += 1
            raise self._refused_error(
                f"All {self.maxsize} connections of the pool {self.name!r} are in use and "
                f"{len(self._waiters)} requests wait for one already (MAX_WAITING)."
            )
        self._waiters[waiter] = spec

    def _leave_queue(self, waiter: Waiter) -> None:
        with self._lock:
            self._waiters.pop(waiter, None)

    def _give_up(self, waiter: Waiter) -> None:
        if waiter.granted is not None and waiter.granted.state is CONNECTING:
            self.forget_slot(waiter.granted)
        elif waiter.holder.held is not None:
            connection, waiter.holder.held = waiter.holder.held, None
            connection.clean = True  # nothing was done with it
            self.release(connection, waiter.holder.reference)

    def _place(self):
        """Who asks for a connection, to be told when it is not given back."""
        return place(sys._getframe()) if self._note_places else None

    def release(self, connection, reference, reason: str | None = None) -> None:
        """Take back what the holder with this ``reference`` had until now (its ``held`` is None).

        With a ``reason`` the connection is not fit for use and is closed.
        """
        now = time.monotonic()
        slot = connection.slot
        with self._lock:
            if slot not in self._slots or slot.holder is not reference:
                return  # taken away meanwhile: the pool reclaimed it, or the process forked
            self.held_seconds += now - slot.since
            slot.taken_back()
            kept = self.hand_on(slot, now, reason)
        if not kept:
            self.hang_up(slot)

    def hand_on(self, slot: Slot, now: float, reason: str | None = None) -> bool:
        """To the longest waiter or to the idle ones: True; else it is condemned. Lock held."""
        if reason is None:
            reason = self._unfit_to_keep(slot, now)
        if reason is None:
            self._alive_at = slot.connection.idle_since = now
            waiter = self._first_waiter() if self._waiters else None
            if waiter is None:
                self._idle.append(slot)
                return True
            if self._waiters[waiter] is slot.spec and not waiter.holder.inline:
                self._serve_with(waiter, slot, now)
                return True
            reason = "other parameters"  # the waiter needs its place
        self.condemn(slot, reason)
        return False

    def _first_waiter(self) -> Waiter | None:
        """The longest waiter that has nothing yet; lock held."""
        return next((waiter for waiter in self._waiters if not waiter.served), None)

    def _serve_with(self, waiter: Waiter, slot: Slot, now: float) -> None:
        """Lock held."""
        # In this order: who has something and is in the queue still is woken by the watcher.
        slot.lend(waiter.holder, waiter.owner, now, waiter.place)
        waiter.wake()
        self._waiters.pop(waiter, None)

    def _unfit_to_keep(self, slot: Slot, now: float) -> str | None:
        connection = slot.connection
        if not connection.is_reusable():
            return "broken"
        if now >= connection.expires_at:
            return "age"
        if slot.inline:
            return "native thread"
        if len(self._slots) > self.maxsize:
            return "surplus"
        if not self._waiters and len(self._idle) >= self.reuse:
            return "surplus"
        return None

    def _serve(self) -> None:
        """Give idle connections to waiters, and let connections be opened for the others."""
        condemned = []
        with self._lock:
            now = time.monotonic()
            while self._idle and (waiter := self._first_waiter()) is not None:
                slot = None if waiter.holder.inline else self._take_idle(self._waiters[waiter])
                reason = self._unfit_to_lend(slot.connection, now) if slot else "other parameters"
                if reason is None:
                    self._serve_with(waiter, slot, now)
                    continue
                if slot is None:
                    if len(self._slots) < self.maxsize or not self._idle:
                        break
                    slot = self._idle.popleft()  # the waiter needs its place
                self.condemn(slot, reason)
                condemned.append(slot)
                if reason == "other parameters":
                    break
        for slot in condemned:
            self.hang_up(slot)
        self.open_for_waiters()

    # -- the whole pool --------------------------------------------------------------------

    def distrust(self, server: str | None) -> None:
        """The answer of a connection said "you are at the wrong server": others say the same.

        All connections to that server (None: to any) are closed, those in use when they come back.
        Not more often than `DISTRUST_EVERY`, for the address may still lead there.
        """
        now = time.monotonic()
        if now - self._distrusted_at < DISTRUST_EVERY:
            return
        self._distrusted_at = now
        with self._lock:
            condemned = []
            for slot in self._slots:
                if slot.state is OPEN and server in (None, slot.connection.server):
                    slot.connection.expires_at = 0.0
                    if slot in self._idle:
                        self._idle.remove(slot)
                        self.condemn(slot, "wrong server")
                        condemned.append(slot)
        for slot in condemned:
            self.hang_up(slot)

    def close(self) -> None:
        """Close all idle connections now and the others when they are given back.

        The pool can be used again afterwards; that is what Celery's fork and tests need.
        """
        with self._lock:
            self._closed_at = time.monotonic()
            idle, self._idle = [slot for slot in self._idle if slot.holder is None], deque()
            for slot in self._slots:
                if slot.state is OPEN:
                    slot.connection.expires_at = 0.0
            for slot in idle:
                self.condemn(slot, "pool closed")
        for slot in idle:
            self.hang_up(slot)

    def say_goodbye(self) -> None:
        """At the end of the process: COM_QUIT on the idle connections, and no wait for the server.

        It would log "Aborted connection" for each, and count it in Aborted_clients.
        """
        while self._idle:
            slot = self._idle.pop()
            with self._lock:
                self._slots.discard(slot)
            slot.connection.hang_up()

    def forget_after_fork(self) -> None:
        """In the child of a fork: these connections belong to the parent; start with none."""
        inherited = self._slots
        self._start_empty()
        for slot in inherited:
            if slot.connection is None:
                continue
            try:
                slot.connection.disown()
            except Exception as error:  # the others are the parent's as well
                logger.warning("%s: a connection of the parent stays: %s", self.name, error)

    # -- what it tells ---------------------------------------------------------------------

    def stats(self) -> dict:
        """Counters since the start and gauges of this moment; connections and seconds."""
        with self._lock:
            slots = list(self._slots)
        states = Counter(slot.state for slot in slots)
        in_use = sum(slot.state is OPEN and slot.in_use for slot in slots)
        return {
            "max_conns": self.maxsize,
            "open": len(slots),
            "in_use": in_use,
            "idle": states[OPEN] - in_use,
            "connecting": states[CONNECTING],
            "closing": states[CLOSING],
            "waiting": len(self._waiters),
            "peak": self.peak,
            "checkouts": self.checkouts,
            "held_seconds": self.held_seconds,
            "waits": self.waits,
            "wait_seconds": self.wait_seconds,
            "timeouts": self.timeouts,
            "rejected": self.refused,
            "created": self.created,
            "connect_errors": self.connect_errors,
            "closed": dict(self.closed_by),
            "pinned": dict(self.pinned_by),
        }

    def _timeout_message(self, waited: float) -> str:
        now = self.stats()
        message = (
            f"No connection from the pool {self.name!r} within {waited:.1f} s (POOL_TIMEOUT): "
            f"{now['in_use']} of {self.maxsize} are in use, {now['waiting']} others wait"
        )
        if now["connecting"]:
            message += f", {now['connecting']} are being opened"
        if now["closing"]:
            message += f", {now['closing']} wait for the server to end a statement"
        if self._last_error is not None:
            message += f"; the last attempt to connect failed: {self._last_error}"
        self._tell_timeout(message)
        return message + "."

    def _tell_timeout(self, message: str) -> None:
        """Once for all that time out together: thousands of records would say the same."""
        now = time.monotonic()
        if now - self._timeouts_told_at < TELL_TIMEOUTS_EVERY:
            self._untold_timeouts += 1
            return
        others, self._untold_timeouts, self._timeouts_told_at = self._untold_timeouts, 0, now
        if others:
            message += f" ({others} more like this since the last time)"
        with self._lock:
            holders = [(s.owner, s.since) for s in self._slots if s.state is OPEN and s.in_use]
        logger.warning("%s.\n%s", message, describe_holders(holders))

    # -- the interface of django-db-geventpool ---------------------------------------------

    @property
    def size(self) -> int:
        """Slots taken, whatever for."""
        return len(self._slots)

    get = checkout
    put = release


@cache
def _also_a(operational_error: type[Exception], error: type[Exception]) -> type[Exception]:
    """``error`` as a subclass of the driver's too. Once for all pools: a class is a cycle that
    only a garbage collection would free with its pool."""
    return type(error.__name__, (error, operational_error), {})
