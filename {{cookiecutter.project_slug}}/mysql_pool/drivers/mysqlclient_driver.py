"""mysqlclient, made cooperative: while the server works, other greenlets run.

The C library blocks its thread, and under gevent that is the whole worker. So a statement is
sent, the greenlet waits for the socket in gevent's hub, and only then the answer is read. To
connect is done in the hub's thread pool. Without gevent both are the driver's own calls.
"""

import contextlib
import os
import socket

import MySQLdb
from MySQLdb.connections import Connection as DriverConnection
from MySQLdb.constants import CR
from MySQLdb.cursors import Cursor as DriverCursor
from MySQLdb.cursors import SSCursor

from ..concurrency import in_thread, patched
from . import PhysicalConnection

Error = MySQLdb.Error
InterfaceError = MySQLdb.InterfaceError
OperationalError = MySQLdb.OperationalError
ProgrammingError = MySQLdb.ProgrammingError
Cursor = DriverCursor
UNBUFFERED_CURSOR = SSCursor
COOPERATIVE = patched("socket")

if COOPERATIVE:
    import gevent
    from gevent import get_hub


def install() -> None:
    """Nothing to do: mysqlclient is what ``import MySQLdb`` means."""


def connect(parameters: dict) -> "Connection":
    """Open a connection, or raise mysqlclient's ``OperationalError``.

    Seconds: ``connect_timeout`` as the C library understands it (default here 10);
    ``read_timeout`` is kept by the wait in the hub when there is one, and by the C library.
    """
    parameters = {"connect_timeout": 10, "autocommit": True, **parameters}
    connection = in_thread(Connection, **parameters)
    connection.duplicate_socket()  # not in that thread, whose sockets would wait in its own hub
    if COOPERATIVE:
        # The C library keeps the timeout as well: an answer that is cut off in the middle blocks
        # all of the process until then.
        connection.wait_in_the_hub(parameters.get("read_timeout"))
    return connection


def _is_from_server(error: MySQLdb.MySQLError) -> bool:
    """Whether the server sent it, so that it was the whole answer and the protocol is idle.

    2000-2999 are the client's own errors (lost, gone away): the answer did not come.
    """
    number = error.args[0] if error.args else None
    return isinstance(number, int) and not 2000 <= number < 3000


class Connection(PhysicalConnection, DriverConnection):
    """A mysqlclient connection that knows whether its protocol is idle.

    When the C library loses its server it closes the socket, and its ``fileno()`` goes on telling
    the old number, which may be anybody's file by then. So the socket is duplicated while it is
    surely ours, and only the duplicate is looked at, waited for and shut down.
    """

    _watcher = None
    _read_timeout: float | None = None
    _socket: socket.socket | None = None

    def duplicate_socket(self) -> None:
        """Once, when the connection is open."""
        self._socket = socket.socket(fileno=os.dup(super().fileno()))

    def fileno(self) -> int:
        """The duplicate's file descriptor."""
        return self._socket.fileno()

    def wait_in_the_hub(self, read_timeout: float | None) -> None:
        """From now on wait for answers in gevent's hub, at most ``read_timeout`` seconds each."""
        # First of all that is ready: an answer frees a connection. Where requests also wait for
        # something else, a worker answers a tenth more of them so; elsewhere it costs nothing.
        loop = get_hub().loop
        self._watcher = loop.io(self.fileno(), 1, priority=loop.MAXPRI)
        self._read_timeout = read_timeout

    # -- statements ------------------------------------------------------------------------

    def query(self, query):
        """Send one statement and wait for its answer without blocking the hub."""
        if isinstance(query, bytearray):
            query = bytes(query)
        self.check_idle()
        self.busy = True
        try:
            if self._watcher is None:
                super().query(query)
            else:
                self.send_query(query)
                self._wait()
                self.read_query_result()
        except MySQLdb.MySQLError as error:
            self.busy = not _is_from_server(error)
            raise
        self.busy = self.field_count() > 0

    def _wait(self):
        hub = get_hub()
        if self._read_timeout is None:
            hub.wait(self._watcher)
            return
        with gevent.Timeout(self._read_timeout, False) as timeout:
            hub.wait(self._watcher)
            return
        raise OperationalError(
            CR.SERVER_LOST,
            f"Lost connection to MySQL server during query (no answer for {timeout.seconds} s)",
        )

    def store_result(self):
        """Take the rows into this process; the protocol is idle afterwards."""
        try:
            result = super().store_result()
        except MySQLdb.MySQLError as error:
            # Some errors come in place of a row: INSERT ... RETURNING with a duplicate key.
            self.busy = not _is_from_server(error)
            raise
        self.busy = False
        return result

    def next_result(self):
        """Read the header of a further result; -1 when there is none."""
        status = super().next_result()
        self.busy = status == 0 and self.field_count() > 0
        return status

    def begin_with_next(self) -> None:
        """Start a transaction. The C library has no way to send two statements at once."""
        self.query(b"BEGIN")

    def run(self, sql: str) -> None:
        """Run a statement whose rows nobody wants, such as COMMIT."""
        self.query(sql.encode())
        if self.busy:
            self.store_result()  # an init_command may well be a SELECT

    def in_transaction(self) -> None:
        """None, for "unknown": mysqlclient does not show the status flags of an answer."""

    def has_more_results(self) -> bool:
        """Whether another result of the last statement is still to be read."""
        return self.more_results()

    # -- between two users -----------------------------------------------------------------

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
        dropped, self._socket = self._socket, None
        self._stop_watching()
        with contextlib.suppress(MySQLdb.MySQLError):
            self.close()
        return dropped

    def disown(self) -> None:
        """In a forked child: let the COM_QUIT of the C library go nowhere, then close."""
        own, self._socket = self._socket, None
        if own is None:
            return
        self._stop_watching()
        number = super().fileno()
        with contextlib.suppress(OSError):  # the C library may have closed its copy
            if os.path.sameopenfile(number, own.fileno()):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, number)
                os.close(nowhere)
        own.close()

    def _stop_watching(self):
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
