"""PyMySQL: cooperative by itself under gevent, because it is sockets and Python all the way."""

import contextlib
import os
import socket
import struct
import sys
import weakref
from functools import lru_cache, partial

import pymysql
from pymysql import connections, cursors, err
from pymysql.connections import Connection as DriverConnection
from pymysql.constants import COMMAND, SERVER_STATUS
from pymysql.protocol import FieldDescriptorPacket

from . import PhysicalConnection, tls, wait_for_end

COM_RESET_CONNECTION = 0x1F
BEGIN = struct.pack("<iB", len("BEGIN") + 1, COMMAND.COM_QUERY) + b"BEGIN"

Error = err.Error
InterfaceError = err.InterfaceError
OperationalError = err.OperationalError
ProgrammingError = err.ProgrammingError
Cursor = cursors.Cursor
UNBUFFERED_CURSOR = cursors.SSCursor


def install() -> None:
    """Let ``import MySQLdb`` find PyMySQL: Django's MySQL backend imports that name."""
    pymysql.install_as_MySQLdb()
    # Django compares this with the oldest mysqlclient it accepts (2.2.1 in Django 6).
    if pymysql.version_info < (2, 2, 8):
        pymysql.version_info = (2, 2, 8, "final", 1)
    # Without these, `import MySQLdb.cursors` would load PyMySQL's file a second time, and its
    # classes would not be the ones that PyMySQL uses.
    for name in ("connections", "constants", "converters", "cursors"):
        sys.modules.setdefault(f"MySQLdb.{name}", getattr(pymysql, name))
    connections.FieldDescriptorPacket = column


@lru_cache(maxsize=1024)
def column(data: bytes, encoding: str) -> FieldDescriptorPacket:
    """What a result says of one of its columns: nearly always what an earlier one has said.

    To parse it again is a third of what PyMySQL computes for a row of five columns (20 us).
    """
    return FieldDescriptorPacket(data, encoding)


def connect(parameters: dict) -> "Connection":
    """Open a connection, or raise PyMySQL's ``OperationalError``.

    ``connect_timeout`` (seconds) covers the handshakes too, TLS's and MySQL's: PyMySQL itself
    applies it to the TCP connect only, and would wait for ever for a server that accepts and never
    answers.
    """
    connection = Connection(**parameters, defer_connect=True, autocommit=True)
    timeouts = connection._read_timeout, connection._write_timeout
    connection._read_timeout = connection._write_timeout = connection.connect_timeout
    try:
        connection.connect()
    except BaseException:
        dropped = connection.hang_up()
        if dropped is not None:
            # Until the server gives up the handshake it counts against max_connections.
            wait_for_end(dropped, 1)
            dropped.close()
        raise
    connection._read_timeout, connection._write_timeout = timeouts
    return connection


class Connection(PhysicalConnection, DriverConnection):
    """A PyMySQL connection that knows whether its protocol is idle."""

    _dropped: socket.socket | None = None
    _begin_with_next = False

    def _create_ssl_ctx(self, sslp):
        context = tls.shared_context(sslp, super()._create_ssl_ctx)
        # A proxy, because a cycle would wait for a garbage collection.
        return tls.Handshakes(context, take_over=partial(setattr, weakref.proxy(self), "_sock"))

    # -- statements ------------------------------------------------------------------------

    def query(self, sql, unbuffered=False):
        """Send one statement and read its answer, after a BEGIN when one is due."""
        if self._result is None or not self._result.unbuffered_active:
            self.check_idle()
        self.busy = True
        try:
            if self._begin_with_next:
                result = self._begin_and_query(sql, unbuffered)
            else:
                result = super().query(sql, unbuffered)
        except err.MySQLError:
            # An error that the server sent was its whole answer. When the socket is lost or timed
            # out, the server may well be busy with the statement still.
            self.busy = self._sock is None
            raise
        self.busy = unbuffered and self._result.unbuffered_active
        return result

    def _begin_and_query(self, sql, unbuffered):
        """BEGIN and the statement in one packet to the server: one round trip instead of two.

        The server works off what it has received in order; each answer is read in its turn.
        """
        if isinstance(sql, str):
            sql = sql.encode(self.encoding)
        self._execute_command(COMMAND.COM_QUERY, sql)  # _write_bytes() puts BEGIN in front
        try:
            self._read_ok_packet()
        except err.MySQLError:
            self._force_close()  # a second answer would be on its way
            raise
        self._next_seq_id = 1
        self._affected_rows = self._read_query_result(unbuffered=unbuffered)
        return self._affected_rows

    def _write_bytes(self, data):
        if self._begin_with_next:
            self._begin_with_next = False
            data = BEGIN + data
        super()._write_bytes(data)

    def begin_with_next(self) -> None:
        """Start a transaction together with the next statement."""
        self._begin_with_next = True

    def run(self, sql: str) -> None:
        """Run a statement whose rows nobody wants, such as COMMIT."""
        self._begin_with_next = False
        self.query(sql)

    def in_transaction(self) -> bool:
        """What the server said with its last answer."""
        return bool(self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def has_more_results(self) -> bool:
        """Whether another result of the last statement is still to be read."""
        return self._result is not None and bool(self._result.has_next)

    # -- between two users -----------------------------------------------------------------

    def is_reusable(self) -> bool:
        """Whether the protocol is idle: open, no answer outstanding, none half read."""
        return self._sock is not None and not self.busy and not self.has_more_results()

    def forget_result(self) -> None:
        """Drop the rows of the last statement; its cursor has them too if anybody wants them."""
        if self._result is not None and self._result.unbuffered_active:
            # Its __del__ would read the unread rows from the socket, at a garbage collection.
            self._result.unbuffered_active = False
        self._result = None

    def reset(self) -> bool:
        """COM_RESET_CONNECTION: the session as new, in one round trip. False if refused.

        It resets character set and isolation level as well, so the set-up has to follow; it does
        not undo USE, so the database is chosen again.
        """
        if not self.db:
            return False
        self.busy = True
        try:
            self._execute_command(COM_RESET_CONNECTION, b"")
            self._read_ok_packet()
        except err.MySQLError:
            return False
        self.busy = False
        self.set_character_set(self.charset, self.collation)
        self.select_db(self.db)
        return True

    # -- the end ---------------------------------------------------------------------------

    def fileno(self) -> int:
        """The socket's file descriptor."""
        return self._sock.fileno()

    def _force_close(self):
        # PyMySQL comes here by itself when a read fails or is interrupted (GreenletExit, Timeout).
        # The server does not know yet, so somebody has to keep an eye on the socket.
        if self._sock is not None and self._dropped is None:
            with contextlib.suppress(OSError, ValueError):
                self._dropped = socket.socket(fileno=os.dup(self._sock.fileno()))
        super()._force_close()
        if self.ssl:
            tls.forget_errors()

    def hang_up(self) -> socket.socket | None:
        """Say COM_QUIT if the protocol is idle, close, and return the socket to watch."""
        with contextlib.suppress(err.Error):
            if self.busy:
                self._force_close()
            else:
                self.close()
        dropped, self._dropped = self._dropped, None
        return dropped

    def disown(self) -> None:
        """In a forked child: close this process's copy of the socket, tell the server nothing."""
        if self._sock is not None:
            os.close(self._sock.detach())
        self._sock = self._rfile = None
