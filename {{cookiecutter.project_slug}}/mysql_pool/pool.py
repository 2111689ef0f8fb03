"""The pool: at most ``max_conns`` connections of this process at the server, at every moment.

It is a ``DatabaseConnectionPool`` of django-db-geventpool, so that code written for that finds
``get()``, ``put()``, ``close()``, ``size`` and ``maxsize``. All of it is replaced, because in
django-db-geventpool 4.0.8

* the bound is a race: ``get()`` checks the size, connects, and counts afterwards
  (MAX_CONNS=20 in 2 workers opened 89-108 connections under a burst);
* ``get()`` waits without limit, and a connection that is lost never wakes a waiter;
* every checkout sends a ``SELECT 1``.

Here a *slot* is taken before a connection is opened and given back when the server has closed it.
Who waits, waits for a slot in a queue; what becomes free is handed to the longest waiter.

Nothing here knows Django, SQL or a driver.
"""

import logging
import random
import socket
import sys
import threading
import time
from collections import Counter, deque
from functools import cache

from .concurrency import Mutex, current, in_background, is_dead, patched
from .drivers import PhysicalConnection, wait_for_end
from .errors import PoolTimeout, TooManyWaiting
from .reports import describe_holders, describe_leak, place
from .waiter import Waiter

try:
    from django_db_geventpool.backends.pool import DatabaseConnectionPool
except ImportError:  # projects on gthread or sync workers have no gevent, hence not this either
    DatabaseConnectionPool = object

logger = logging.getLogger("mysql_pool")

# How many connections are opened at the same time. Each costs this process about 1 ms of CPU and
# the server a thread; a burst on a cold pool is served by the first ones while the rest open.
MAX_CONNECTING = 8
# A server's connection count drops a moment after its end of the socket closes (MariaDB: in
# unlink_thd(), after the socket). A slot that is given back at once would race with that.
SETTLE = 0.02  # seconds
# How long a statement that nobody waits for may go on before it is killed.
GRACE = 0.05  # seconds
# How often a waiter looks for connections whose greenlet ended without giving them back.
RECLAIM_EVERY = 0.5  # seconds
# How often the log says so: code that forgets does it with every call.
TELL_EVERY = 60  # seconds


class Pool(DatabaseConnectionPool):
    """Connections to one server with one set of parameters, for one process.

    Args (seconds and connections):
        connect: opens a connection; called outside all locks.
        kill: ``kill(connection, thread_id)`` ends another connection's statement at the server.
        max_conns: the bound.
        reuse_conns: how many idle connections are kept; 0 closes each after use.
        timeout: how long a checkout waits.
        max_waiting: how many checkouts may wait at the same time; the next is refused.
        max_idle: idle connections are closed after this; has to be below ``wait_timeout``.
        max_age: connections are closed after this (a random tenth earlier, so that connections
            opened together do not end together); None for no limit.
        operational_error: the driver's class that ``PoolError``s are raised as too.
    """

    def __init__(
        self,
        *,
        name: str,
        connect,
        kill,
        max_conns: int,
        reuse_conns: int,
        timeout: float,
        max_waiting: int,
        max_idle: float,
        max_age: float | None,
        operational_error: type[Exception] = Exception,
    ):
        # Not calling super().__init__(): its queue is what is replaced here.
        self.name = name
        self.maxsize = max_conns
        self.reuse = reuse_conns
        self.timeout = timeout
        self.max_waiting = max_waiting
        self.max_idle = max_idle
        self.max_age = max_age
        self._connect, self._kill = connect, kill
        self._timeout_error = _also_a(operational_error, PoolTimeout)
        self._refused_error = _also_a(operational_error, TooManyWaiting)

        self._lock = Mutex()
        self._idle: deque[PhysicalConnection] = deque()  # last in, first out
        self._waiters: deque[Waiter] = deque()
        self._held: dict[PhysicalConnection, tuple] = {}  # -> (owner, since, where)
        self._open = 0  # slots taken: in use, idle, being opened, being closed
        self._connecting = 0
        self._closing = 0
        self._keeping = False
        self._generation = 0
        self._last_error: Exception | None = None
        self.server_data: dict | None = None  # what the backend asked the server once
        self._reclaimed_at = self._closed_at = 0.0
        self._untold: Counter[str] = Counter()
        self._told_at = float("-inf")
        self._note_places = False  # where connections are taken: from the first that is lost on

        self.peak = 0
        self.created = self.checkouts = self.waits = self.timeouts = self.refused = 0
        self.wait_seconds = self.held_seconds = 0.0
        self.connect_errors = 0
        self.closed_by: Counter[str] = Counter()
        self.pinned_by: Counter[str] = Counter()

    # -- checkout and release --------------------------------------------------------------

    def checkout(self, urgent: bool = False) -> PhysicalConnection:
        """Take a connection; wait for it at most ``timeout`` seconds, first come first served.

        ``urgent`` goes to the head of the queue: for what makes a connection free. Raises
        ``PoolTimeout``, ``TooManyWaiting``, or whatever ``connect`` raises.
        """
        now = time.monotonic()
        while True:
            with self._lock:
                # Nobody waits while there is an idle connection, so this overtakes nobody.
                connection = self._idle.pop() if self._idle else None
                if connection is None:
                    waiter = self._enqueue(urgent)
                    connectors = self._claim_connectors()
            if connection is None:
                return self._wait(waiter, connectors, now)
            if connection.is_quiet():
                self.checkouts += 1
                self._held[connection] = (current(), now, self._place())
                return connection
            # The server has closed it already (restart, KILL, wait_timeout).
            self._close_connection(connection, "lost")

    def _enqueue(self, urgent: bool) -> Waiter:
        """A place in the queue; lock held."""
        waiter = Waiter(self._place())
        if urgent:
            self._waiters.appendleft(waiter)
            return waiter
        if len(self._waiters) >= self.max_waiting and self._open >= self.maxsize:
            self.refused += 1
            raise self._refused_error(
                f"All {self.maxsize} connections of the pool {self.name!r} are in use and "
                f"{len(self._waiters)} requests wait for one already (MAX_WAITING)."
            )
        self._waiters.append(waiter)
        return waiter

    def _wait(self, waiter: Waiter, connectors: int, since: float) -> PhysicalConnection:
        try:
            self._start(connectors, inline=not patched())
            woken = self._await(waiter, since + self.timeout)
        except BaseException:
            # Killed or timed out in the queue: what was handed over meanwhile goes on.
            if self._leave_queue(waiter) and waiter.connection is not None:
                self.release(waiter.connection)
            raise
        now = time.monotonic()
        self.waits += 1
        self.wait_seconds += now - since
        if not woken and not self._leave_queue(waiter):
            self.timeouts += 1
            raise self._timeout_error(self._timeout_message(now - since))
        if waiter.error is not None:
            raise waiter.error
        self.checkouts += 1
        return waiter.connection

    def _await(self, waiter: Waiter, deadline: float) -> bool:
        """Wait in slices: in between, look for connections whose owner died with them."""
        while True:
            left = deadline - time.monotonic()
            if waiter.wait(min(left, RECLAIM_EVERY)):
                return True
            if left <= RECLAIM_EVERY:
                return False
            self.reclaim()

    def _place(self):
        """Who asks for a connection, to be told when it is not given back."""
        return place(sys._getframe()) if self._note_places else None

    def _leave_queue(self, waiter: Waiter) -> bool:
        """Step out of the queue; True if something was handed over in the last moment."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return waiter.connection is not None or waiter.error is not None

    def release(self, connection: PhysicalConnection, reason: str | None = None) -> None:
        """Give a connection back. With a ``reason`` it is not fit for use and is closed."""
        now = time.monotonic()
        taken = self._held.pop(connection, None)
        if taken is None:
            return  # taken away meanwhile: the pool reclaimed it, or the process forked
        self.held_seconds += now - taken[1]
        self._hand_on(connection, now, reason)

    def _hand_on(self, connection, now: float, reason: str | None = None) -> None:
        """To the longest waiter, to the idle ones, or out."""
        if reason is None:
            reason = self._unfit(connection, now)
        if reason is not None:
            self._close_connection(connection, reason)
            return
        connection.idle_since = now
        with self._lock:
            if self._waiters:
                waiter = self._waiters.popleft()
                self._held[connection] = (waiter.owner, now, waiter.place)
                waiter.wake(connection)
            else:
                self._idle.append(connection)

    def _unfit(self, connection, now) -> str | None:
        if not connection.is_reusable():
            return "broken"
        if now >= connection.expires_at:
            return "age"
        if len(self._idle) >= self.reuse and not self._waiters:
            return "surplus"
        return None

    # -- opening ---------------------------------------------------------------------------

    def _claim_connectors(self) -> int:
        """Take slots for as many new connections as waiters need; lock held."""
        wanted = min(
            len(self._waiters) - self._connecting,
            self.maxsize - self._open,
            MAX_CONNECTING - self._connecting,
        )
        wanted = max(wanted, 0)
        self._open += wanted
        self._connecting += wanted
        return wanted

    def _start(self, connectors: int, inline: bool = False) -> None:
        # A greenlet that is killed while it connects would leave a half-open connection at the
        # server; so greenlets never connect themselves. Threads are not killed: they may, once.
        for _ in range(connectors - inline):
            in_background(self._open_one, self._generation)
        if inline and connectors:
            self._open_one(self._generation)

    def _open_one(self, generation: int) -> None:
        """Open one connection for the longest waiter; its slot is taken already."""
        begun = time.monotonic()
        try:
            connection = self._connect()
        except BaseException as error:
            if generation != self._generation:
                return
            with self._lock:
                self._connecting -= 1
                self._open -= 1
                self.connect_errors += 1
                self._last_error = error
                if self._waiters and isinstance(error, Exception):
                    self._waiters.popleft().wake(error=error)
                connectors = self._claim_connectors()
            self._start(connectors)
            if not isinstance(error, Exception):
                raise
            return
        now = time.monotonic()
        connection.expires_at = float("inf")
        if self.max_age:
            connection.expires_at = now + self.max_age * random.uniform(0.9, 1)  # noqa: S311
        if begun < self._closed_at:
            connection.expires_at = 0.0  # close() was called meanwhile
        if generation != self._generation:
            connection.disown()
            return
        with self._lock:
            self._connecting -= 1
            self._last_error = None
            self.created += 1
            self.peak = max(self.peak, self._open)
            start_keeper = not self._keeping and _keeper_pays()
            self._keeping = self._keeping or start_keeper
        if start_keeper:
            in_background(self._keep, generation)
        self._hand_on(connection, now)
        with self._lock:
            connectors = self._claim_connectors()
        self._start(connectors)

    # -- closing ---------------------------------------------------------------------------

    def _close_connection(self, connection, reason: str) -> None:
        """Close a connection; its slot is free when the server has closed it too."""
        self.closed_by[reason] += 1
        interrupted = connection.busy
        thread_id = connection.thread_id() if interrupted else None
        dropped = connection.hang_up()
        if dropped is None:
            self._free_slot()
            return
        with self._lock:
            self._closing += 1
        in_background(self._see_off, dropped, thread_id, self._generation)

    def _see_off(self, dropped: socket.socket, thread_id: int | None, generation: int) -> None:
        """Wait until the server has ended what we closed; end its statement if it goes on."""
        ended = threading.Event()
        if not wait_for_end(dropped, GRACE):
            if thread_id is not None:
                # Beside this: the statement may well end before a connection is free for KILL.
                in_background(self._kill_statement, thread_id, ended)
            wait_for_end(dropped, None)
        ended.set()
        dropped.close()
        time.sleep(SETTLE)
        if generation == self._generation:
            with self._lock:
                self._closing -= 1
            self._free_slot()

    def _kill_statement(self, thread_id: int, ended: threading.Event) -> None:
        """KILL needs a connection like everybody else, but goes to the head of the queue."""
        try:
            helper = self.checkout(urgent=True)
        except Exception as error:
            logger.warning("%s: cannot end statement of thread %s: %s", self.name, thread_id, error)
            return
        try:
            if not ended.is_set():
                self._kill(helper, thread_id)
        except Exception as error:
            # 1094, "unknown thread id": it ended by itself.
            logger.debug("%s: KILL %s: %s", self.name, thread_id, error)
        finally:
            self.release(helper)

    def _free_slot(self) -> None:
        with self._lock:
            self._open -= 1
            connectors = self._claim_connectors()
        self._start(connectors)

    def _keep(self, generation: int) -> None:
        """Close what has been idle or alive too long, as long as there is anything to keep."""
        while True:
            time.sleep(max(min(self.max_idle / 4, 15), 0.05))
            if generation != self._generation:
                return
            self.reclaim()
            now = time.monotonic()
            stale = []
            with self._lock:
                for connection in list(self._idle):
                    age = now - connection.idle_since
                    if age >= self.max_idle or now >= connection.expires_at:
                        self._idle.remove(connection)
                        stale.append((connection, "idle" if age >= self.max_idle else "age"))
                if not self._open:
                    self._keeping = False
                    return
            for connection, reason in stale:
                self._close_connection(connection, reason)

    def reclaim(self) -> int:
        """Take back the connections of greenlets and threads that ended without giving them back.

        Returns how many. They are closed: nobody knows what state they are in.
        """
        now = time.monotonic()
        if now - self._reclaimed_at < RECLAIM_EVERY:
            return 0
        self._reclaimed_at = now
        lost = [(c, *taken) for c, taken in list(self._held.items()) if is_dead(taken[0])]
        for connection, owner, _, where in lost:
            self.release(connection, "leaked")
            self._untold[describe_leak(owner, where)] += 1
            self._note_places = True
        if self._untold and now - self._told_at >= TELL_EVERY:
            logger.warning(
                "%s: %d greenlets or threads ended and kept their connections. Wrap code that runs "
                "outside a request in mysql_pool.close_connection. (Said once a minute.)\n%s",
                self.name,
                self._untold.total(),
                "\n".join(f"  {count} x {told}" for told, count in self._untold.most_common(5)),
            )
            self._untold, self._told_at = Counter(), now
        return len(lost)

    def close(self) -> None:
        """Close all idle connections now and the others when they are given back.

        The pool can be used again afterwards; that is what Celery's fork and tests need.
        """
        with self._lock:
            self._closed_at = time.monotonic()
            idle, self._idle = list(self._idle), deque()
            for connection in self._held:
                connection.expires_at = 0
        for connection in idle:
            self._close_connection(connection, "pool closed")

    def say_goodbye(self) -> None:
        """At the end of the process: COM_QUIT on the idle connections, and no wait for the server.

        It would log "Aborted connection" for each, and count it in Aborted_clients.
        """
        for connection in self._idle:
            connection.hang_up()

    def forget_after_fork(self) -> None:
        """In the child of a fork: these connections belong to the parent; start with none."""
        inherited = [*self._idle, *self._held]
        self._lock = Mutex()
        self._idle, self._waiters, self._held = deque(), deque(), {}
        self._open = self._connecting = self._closing = 0
        self._keeping = False
        self._generation += 1
        for connection in inherited:
            connection.disown()

    # -- what it tells ---------------------------------------------------------------------

    def stats(self) -> dict:
        """Counters since the start and gauges of this moment; connections and seconds."""
        return {
            "max_conns": self.maxsize,
            "open": self._open,
            "in_use": len(self._held),
            "idle": len(self._idle),
            "connecting": self._connecting,
            "closing": self._closing,
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
        message = (
            f"No connection from the pool {self.name!r} within {waited:.1f} s (POOL_TIMEOUT): "
            f"{len(self._held)} of {self.maxsize} are in use, {len(self._waiters)} others wait"
        )
        if self._connecting:
            message += f", {self._connecting} are being opened"
        if self._closing:
            message += f", {self._closing} wait for the server to end a statement"
        if self._last_error is not None:
            message += f"; the last attempt to connect failed: {self._last_error}"
        logger.warning("%s.\n%s", message, describe_holders(self._held))
        return message + "."

    # -- the interface of django-db-geventpool ---------------------------------------------

    @property
    def size(self) -> int:
        """Slots taken, whatever for."""
        return self._open

    get = checkout
    put = release


@cache
def _also_a(operational_error: type[Exception], error: type[Exception]) -> type[Exception]:
    """``error`` as a subclass of the driver's too. Once for all pools: a class is a cycle that
    only a garbage collection would free with its pool."""
    return type(error.__name__, (error, operational_error), {})


def _keeper_pays() -> bool:
    # A program with one thread (manage.py) ends soon, and may fork: Python warns about threads.
    return patched() or threading.current_thread() is not threading.main_thread()
