"""mysqlclient, made cooperative: while the server works, other greenlets run.

The C library blocks its thread, and under gevent that is the whole worker. So a statement is
sent, the greenlet waits for the socket in gevent's hub, and only then the answer is read. To
connect is done in the hub's thread pool. Without gevent both are the driver's own calls.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import MySQLdb
from MySQLdb.constants import CR
from MySQLdb.cursors import SSCursor

from .. import answers
from ..concurrency import in_background, in_foreign_thread, in_thread, patched
from .base import ANONYMOUS, UNKNOWN_VARIABLE, BaseConnection, autocommit_as, identity_of

if TYPE_CHECKING:
    from .mysqlclient_types import DriverConnection, DriverCursor
else:
    from MySQLdb.connections import Connection as DriverConnection
    from MySQLdb.cursors import Cursor as DriverCursor

P = ParamSpec("P")
T = TypeVar("T")

NAME = "mysqlclient"
Error = MySQLdb.Error
InterfaceError = MySQLdb.InterfaceError
OperationalError = MySQLdb.OperationalError
ProgrammingError = MySQLdb.ProgrammingError
UNBUFFERED_CURSOR = SSCursor
COOPERATIVE = patched("socket")
# What is longer may not fit into the socket at once, and the C library would wait until it does.
LONG = 65536  # bytes

#: Versions of servers that do not tell who they are.
_anonymous: set[str] = set()

if COOPERATIVE:
    import gevent
    from gevent import get_hub

    #: The timeout ends its block without raising anything; the stubs do not know this value.
    NO_ERROR: Any = False


def install() -> None:
    """Nothing to do: mysqlclient is what ``import MySQLdb`` means."""


def connect(parameters: dict[str, Any]) -> "Connection":
    """Open a connection, or raise mysqlclient's ``OperationalError``.

    Seconds: ``connect_timeout`` as the C library understands it (default here 10);
    ``read_timeout`` is kept by the wait in the hub when there is one, and by the C library.
    """
    parameters = {"connect_timeout": 10, **parameters, "autocommit": True}
    connection = in_thread(Connection, **parameters)
    connection.duplicate_socket()  # not in that thread, whose sockets would wait in its own hub
    if COOPERATIVE and not in_foreign_thread():
        # The C library keeps the timeout as well: an answer that is cut off in the middle blocks
        # all of the process until then.
        connection.wait_in_the_hub(parameters.get("read_timeout"))
    return connection


class Cursor(DriverCursor):
    """mysqlclient's own cursor, which may be closed when its connection has gone."""

    def close(self) -> None:
        """Forget the rows. mysqlclient does not if there is no connection: they stayed readable."""
        if self.connection is None:
            self._discard()
        super().close()


class Rows:
    """The rows of an unbuffered cursor; tells when the last of them has been read."""

    def __init__(self, result: Any, read_to_the_end: Callable[[], None]):
        self._result, self._read_to_the_end = result, read_to_the_end

    def fetch_row(self, maxrows: int = 1, how: int = 0) -> Sequence[Any]:
        """As the C library's: at most ``maxrows`` rows, all for 0."""
        try:
            rows: Sequence[Any] = self._result.fetch_row(maxrows, how)
        except MySQLdb.MySQLError as error:
            if answers.is_from_server(error):
                self._read_to_the_end()  # it comes in place of the rest
            raise
        if len(rows) < maxrows or not maxrows:
            self._read_to_the_end()
        return rows

    def discard(self) -> None:
        """Read the rest and throw it away."""
        result, self._result = self._result, None
        if result is not None:
            result.discard()
            self._read_to_the_end()

    def __del__(self) -> None:
        if self._result is not None:  # the C library reads the rest when it is gone
            self.discard()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)


class Connection(BaseConnection, DriverConnection):
    """A mysqlclient connection that knows whether its protocol is idle.

    When the C library loses its server it closes the socket, and its ``fileno()`` goes on telling
    the old number, which may be anybody's file by then. So the socket is duplicated while it is
    surely ours, and only the duplicate is looked at, waited for and shut down.
    """

    busy = False
    _watcher: Any = None
    """gevent's; None: waits in the C library."""
    _read_timeout: float | None = None
    _socket: socket.socket | None = None
    _dropped: socket.socket | None = None
    _number_of_file = -1
    _in_thread: threading.Event | None = None
    """Set when the thread that is in the C library with this connection has left it."""

    def duplicate_socket(self) -> None:
        """Once, when the connection is open."""
        self._number_of_file = super().fileno()
        self._socket = socket.socket(fileno=os.dup(self._number_of_file))

    def fileno(self) -> int:
        """The duplicate's file descriptor. Raises ``OSError`` when it is closed."""
        if self._socket is None:
            raise OSError("This connection is closed.")
        return self._socket.fileno()

    def wait_in_the_hub(self, read_timeout: float | None) -> None:
        """From now on wait for answers in gevent's hub, at most ``read_timeout`` seconds each."""
        # An answer frees a connection, so it is read before other events of the hub are handled.
        # A worker whose requests also wait for something else answers a tenth more of them so;
        # other workers lose nothing.
        loop: Any = get_hub().loop  # the stubs leave out its priorities
        self._watcher = loop.io(self.fileno(), 1, priority=loop.MAXPRI)
        self._read_timeout = read_timeout

    # -- statements ------------------------------------------------------------------------

    def query(self, query: str | bytes | bytearray) -> None:
        """Send one statement and wait for its answer without blocking the hub."""
        if isinstance(query, bytearray):
            query = bytes(query)
        elif isinstance(query, str):
            query = query.encode(self.encoding)
        if self.busy:
            raise ProgrammingError(
                CR.COMMANDS_OUT_OF_SYNC,
                "Commands out of sync; you can't run this command now",
            )
        lead = self.lead
        # Two round trips: the C library has no way to send two statements at once.
        if lead is not None and lead != self.autocommit_is_on():
            self._ask(autocommit_as(lead).encode())
        self.lead = None
        self._ask(query)

    def _ask(self, query: bytes) -> None:
        self.busy = True
        try:
            if self._watcher is None:
                super().query(query)
            elif query[:4].upper() == b"LOAD":  # it may send a file
                self._beside_the_hub(super().query, query)
            else:
                if len(query) > LONG:
                    self._beside_the_hub(self.send_query, query)
                else:
                    self.send_query(query)
                self._wait()
                self.read_query_result()
        except MySQLdb.MySQLError as error:
            # Out of sync: nothing was sent, because a further result waits to be read.
            self.busy = not (answers.is_from_server(error) or answers.is_out_of_sync(error))
            raise
        self.busy = self.field_count() > 0

    def _beside_the_hub(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what waits for the server in the C library. It is not left before it has ended, or
        ``hang_up`` sees to that."""
        ended = self._in_thread = threading.Event()

        def call() -> T:
            try:
                return function(*args, **kwargs)
            finally:
                ended.set()

        return in_thread(call)

    def _wait(self) -> None:
        hub = get_hub()
        if self._read_timeout is None:
            hub.wait(self._watcher)
            return
        with gevent.Timeout(self._read_timeout, NO_ERROR) as timeout:
            hub.wait(self._watcher)
            return
        raise OperationalError(
            CR.SERVER_LOST,
            f"Lost connection to MySQL server during query (no answer for {timeout.seconds} s)",
        )

    def store_result(self) -> Any:
        """Take the rows into this process; the protocol is idle afterwards."""
        try:
            result = super().store_result()
        except MySQLdb.MySQLError as error:
            # Some errors come in place of a row: INSERT ... RETURNING with a duplicate key.
            self.busy = not answers.is_from_server(error)
            raise
        self.busy = False
        return result

    def use_result(self) -> Rows | None:
        """Leave the rows at the server; the protocol is idle when the last one has been read."""
        result = super().use_result()
        return None if result is None else Rows(result, self._was_read)

    def _was_read(self) -> None:
        self.busy = False

    def discard_result(self) -> None:
        """Read a result and throw it away."""
        super().discard_result()
        self.busy = False

    def next_result(self) -> int:
        """Read the header of a further result; -1 when there is none."""
        if not self.more_results():
            return super().next_result()
        self.busy = True
        try:
            if self._watcher is None:
                status = super().next_result()
            else:  # the C library may have it in its buffer: the socket does not tell
                status = self._beside_the_hub(super().next_result)
        except MySQLdb.MySQLError as error:
            self.busy = not answers.is_from_server(error)
            raise
        self.busy = status == 0 and self.field_count() > 0
        return status

    def run(self, sql: str) -> None:
        """Run a statement whose rows nobody wants, such as COMMIT."""
        self.query(sql.encode())
        self._skip()

    def _skip(self) -> None:
        while True:
            if self.busy:
                self.store_result()
            if self.next_result() != 0:
                return

    def autocommit_is_on(self) -> bool:
        """What the server said with its last answer."""
        return bool(super().get_autocommit())

    def in_transaction(self) -> None:
        """None: mysqlclient does not show this flag."""

    def is_at_rest(self) -> bool:
        """As far as the C library shows it."""
        return not self.busy and self.autocommit_is_on() and not self.more_results()

    def session_changed(self) -> None:
        """None: mysqlclient does not show this flag."""

    def has_more_results(self) -> bool:
        """Whether another result of the last statement is still to be read."""
        return bool(self.more_results())

    def check_alive(self) -> None:
        """A statement: the C library's ``ping`` would block all of the process."""
        self.run("DO 0")

    def ping(self, reconnect: bool = False) -> None:
        """As the C library's, without blocking the hub."""
        self.check_alive()

    # -- between two users -----------------------------------------------------------------

    def set_up(self, statements: Sequence[str]) -> None:
        """One round trip for each of the statements, and one to ask.

        Never several statements in one text: a KILL QUERY between two of them makes the server
        leave the second without an answer, which the client waits for without end.
        """
        # Also if the flags say that it is on: MySQL 9.7 says so with autocommit off for all.
        for text in (autocommit_as(True), *statements):
            self.run(text)
        version = self.get_server_info()
        try:
            self.query(ANONYMOUS if version in _anonymous else identity_of(version))
        except MySQLdb.MySQLError as error:
            if answers.number_of(error) != UNKNOWN_VARIABLE:
                raise
            _anonymous.add(version)
            self.query(ANONYMOUS)
        ((*row,),) = self.store_result().fetch_row(0)
        self._introduce(row)

    def _rows_of(self, sql: str) -> Sequence[Sequence[Any]]:
        self.query(sql)
        rows: Sequence[Sequence[Any]] = self.store_result().fetch_row(0)
        return rows

    def is_reusable(self) -> bool:
        """Whether the protocol is idle: open, no answer outstanding, none half read."""
        return self._socket is not None and not self.busy and not self.more_results()

    def forget_result(self) -> None:
        """Nothing to drop: rows belong to the cursor."""

    def reset(self) -> bool:
        """False: mysqlclient has no call for COM_RESET_CONNECTION, so the connection is closed."""
        return False

    # -- the end ---------------------------------------------------------------------------

    def hang_up(self) -> socket.socket | None:
        """Close (the C library says COM_QUIT itself) and return the socket to watch."""
        if self._socket is not None:
            self._dropped = self._socket
            self._socket = None
        self._stop_watching()
        if self._in_thread is not None and not self._in_thread.is_set():
            # A thread is in the C library with it, and its user was killed meanwhile.
            in_background(self._close_when_left, self._in_thread)
        else:
            self._close()
        return self._dropped

    def _close_when_left(self, left: threading.Event) -> None:
        left.wait()
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(MySQLdb.MySQLError):
            self.close()

    def disown(self) -> None:
        """In the child of a fork: let the COM_QUIT of the C library go nowhere, then close.

        Asks the C library nothing: a thread of the parent may have been in the middle of it.
        """
        own, self._socket = self._socket, None
        if own is None:
            return
        self._stop_watching()
        with contextlib.suppress(OSError):  # the C library may have closed its copy
            if os.path.sameopenfile(self._number_of_file, own.fileno()):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, self._number_of_file)
                os.close(nowhere)
        own.close()

    def _stop_watching(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
