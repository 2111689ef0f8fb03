"""A driver, and the server behind it, that exist only in this process: they keep
`mysql_pool.drivers.contract`, so that the pool and the session can be tested in milliseconds.

The server knows a handful of statements by their first words and answers nothing.
"""

import itertools
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from mysql_pool.drivers import contract


class Error(Exception):
    """As the class of this name in DB-API."""


class InterfaceError(Error):
    """As the class of this name in DB-API."""


class OperationalError(Error):
    """As the class of this name in DB-API."""


class ProgrammingError(Error):
    """As the class of this name in DB-API."""


class Server:
    """What is at the other end, and what it has seen."""

    def __init__(self, name: str = "one"):
        self.name = name
        self.connections: set[Connection] = set()
        """Those that count against its limit."""
        self.most = 0
        self.asked: list[float] = []
        """When it was asked for a connection."""
        self.asking = self.most_asking = 0
        self.errors: deque[Exception] = deque()
        """What the next ones who ask for a connection get."""
        self.refusal: Exception | None = None
        """What everybody gets who asks for a connection."""
        self.greets = threading.Event()
        """Cleared: who asks for a connection waits."""
        self.greets.set()
        self.lets_go = True
        """Whether it ends what the client has closed at once, or in ``end()``."""
        self._numbers = itertools.count(1)
        self._all: list[Connection] = []
        self._lock = threading.Lock()

    def accept(self) -> "Connection":
        """A new connection, or what it was told to raise."""
        with self._lock:
            self.asked.append(time.monotonic())
            self.asking += 1
            self.most_asking = max(self.asking, self.most_asking)
        try:
            assert self.greets.wait(30)
            if self.errors:
                raise self.errors.popleft()
            if self.refusal is not None:
                raise self.refusal
            with self._lock:
                connection = Connection(self, next(self._numbers))
                self._all.append(connection)
                self.connections.add(connection)
                self.most = max(self.most, len(self.connections))
                return connection
        finally:
            with self._lock:
                self.asking -= 1

    def end(self, connection: "Connection") -> None:
        """It is gone from here, and its client can see that."""
        with self._lock:
            self.connections.discard(connection)
        connection.theirs.close()

    def end_what_was_closed(self) -> None:
        """And from here on at once."""
        self.lets_go = True
        for connection in list(self.connections):
            if connection.is_closed:
                self.end(connection)

    def close(self) -> None:
        for connection in self._all:
            connection.theirs.close()
            connection.ours.close()

    def forget(self) -> None:
        """Keep no reference to connections that have ended."""
        self._all = [one for one in self._all if one in self.connections]


class Connection:
    """See `PhysicalConnection`."""

    clean = True
    fresh = True
    expires_at = idle_since = 0.0
    slot: Any = None
    lead: bool | None = None
    server: str | None = None
    number = 0
    busy = False

    def __init__(self, home: Server, number: int):
        self.home, self._number = home, number
        self.ours, self.theirs = socket.socketpair()
        self.is_closed = False
        self.sent: list[str] = []
        self.state: set[str] = set()
        """What a next user of the session would find."""
        self._autocommit, self._transaction = True, False

    # -- statements ------------------------------------------------------------------------

    def query(self, sql: str) -> None:
        lead, self.lead = self.lead, None
        if lead is not None and lead != self._autocommit:
            self._do(f"SET autocommit = {lead:d}")
        self._do(sql)

    def _do(self, sql: str) -> None:
        if self.is_closed or self not in self.home.connections:
            self.busy = True
            raise OperationalError(2013, "Lost connection")
        self.sent.append(sql)
        if " FAIL " in sql:
            raise OperationalError(int(sql.split()[-1]), "as you wish")
        if sql == "SET autocommit = 0":
            self._autocommit = False
        elif sql == "SET autocommit = 1":
            self._autocommit, self._transaction = True, False
        elif sql in ("COMMIT", "ROLLBACK"):
            self._transaction = False
        elif sql.startswith("SET "):
            self.state.add(sql)
        else:
            self._transaction = not self._autocommit

    def autocommit_is_on(self) -> bool:
        return self._autocommit

    def in_transaction(self) -> bool | None:
        return self._transaction

    def is_at_rest(self) -> bool:
        return not self.busy and self._autocommit and not self._transaction

    def leaves_transaction(self) -> bool:
        return not self.clean and (self._transaction or not self._autocommit)

    def session_changed(self) -> bool | None:
        return None

    def run(self, sql: str) -> None:
        self.query(sql)

    def check_alive(self) -> None:
        self.query("DO 0")

    def set_up(self, statements: Sequence[str]) -> None:
        for sql in ("SET autocommit = 1", *statements):
            self.query(sql)
        self.state.clear()
        self.server, self.number = self.home.name, self._number

    def knows(self, number: int) -> bool:
        return any(one.number == number for one in self.home.connections)

    def reset(self) -> bool:
        self.state.clear()
        self._autocommit, self._transaction, self.fresh = True, False, True
        return True

    def has_more_results(self) -> bool:
        return False

    def is_reusable(self) -> bool:
        return not self.busy and not self.is_closed

    def is_quiet(self) -> bool:
        return self in self.home.connections and not self.is_closed

    def forget_result(self) -> None:
        pass

    # -- the end ---------------------------------------------------------------------------

    def hang_up(self) -> socket.socket | None:
        if not self.is_closed:
            self.is_closed = True
            if self.home.lets_go:
                self.home.end(self)
        return self.ours

    def disown(self) -> None:
        self.is_closed = True
        self.ours.close()


class Cursor:
    """A cursor without rows."""

    description = None
    arraysize = 1

    def __init__(self, connection: Any):
        self.connection = connection

    def execute(self, query: Any, args: Any = None) -> None:
        self.connection.query(query)

    def executemany(self, query: Any, args: Any) -> None:
        for _ in args:
            self.connection.query(query)

    def callproc(self, procname: Any, args: Any = ()) -> None:
        self.connection.query(f"CALL {procname}")

    def nextset(self) -> None:
        return None

    def close(self) -> None:
        pass


class UnbufferedCursor(Cursor):
    """The contract has one."""


class Driver:
    """See `contract.Driver`; connections are to ``server``."""

    NAME = "fake"
    Error, InterfaceError = Error, InterfaceError
    OperationalError, ProgrammingError = OperationalError, ProgrammingError
    Cursor, UNBUFFERED_CURSOR, Connection = Cursor, UnbufferedCursor, Connection

    def __init__(self, server: Server):
        self.server = server

    def install(self) -> None:
        pass

    def connect(self, parameters: dict[str, Any]) -> contract.PhysicalConnection:
        return self.server.accept()


# `make lint` checks it: mypy reads this file too.
_kept: type[contract.Driver] = Driver
