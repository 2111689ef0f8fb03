"""PyMySQL: cooperative by itself under gevent, because it is sockets and Python all the way."""

import contextlib
import os
import socket
import struct
import sys
import weakref
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql import connections, cursors, err
from pymysql.constants import COMMAND, CR
from pymysql.protocol import FieldDescriptorPacket

from .. import answers
from . import tls, wait_for_end
from .base import ANONYMOUS, UNKNOWN_VARIABLE, BaseConnection, autocommit_as, identity_of

if TYPE_CHECKING:
    from .pymysql_types import DriverConnection, DriverResult
else:
    from pymysql.connections import Connection as DriverConnection
    from pymysql.connections import MySQLResult as DriverResult

NAME = "pymysql"
COM_RESET_CONNECTION = 0x1F
SESSION_TRACK = 1 << 23  # of the capabilities; PyMySQL has no name for it


def command(kind: int, payload: str) -> bytes:
    """A packet that can be sent in front of another, or behind."""
    data = payload.encode()
    return struct.pack("<iB", len(data) + 1, kind) + data


def query(sql: str) -> bytes:
    """The same for a statement."""
    return command(COMMAND.COM_QUERY, sql)


# What is sent in front of a statement whose transaction needs the server's autocommit off is sent
# twice. A KILL QUERY that arrives at that moment makes it fail (MariaDB: 1 to 5 of 100 when the
# server was held up between the two), and the statement behind it, which is on its way already,
# would run outside of the transaction. It hits one statement only, so the second holds.
LEADS = {True: [query(autocommit_as(True))], False: [query(autocommit_as(False))] * 2}

Error = err.Error
InterfaceError = err.InterfaceError
OperationalError = err.OperationalError
ProgrammingError = err.ProgrammingError
Cursor = cursors.Cursor
UNBUFFERED_CURSOR = cursors.SSCursor

#: Versions of servers that do not tell who they are.
_anonymous: set[str] = set()


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
    setattr(connections, "FieldDescriptorPacket", column)  # noqa: B010 - the stubs leave it out


@lru_cache(maxsize=1024)
def column(data: bytes, encoding: str) -> FieldDescriptorPacket:
    """What a result says of one of its columns: nearly always what an earlier one has said.

    To parse it again is a third of what PyMySQL computes for a row of five columns (20 us).
    """
    return FieldDescriptorPacket(data, encoding)


def connect(parameters: dict[str, Any]) -> "Connection":
    """Open a connection, or raise PyMySQL's ``OperationalError``.

    ``connect_timeout`` (seconds) covers the handshakes too, TLS's and MySQL's: PyMySQL itself
    applies it to the TCP connect only, and would wait for ever for a server that accepts and never
    answers.
    """
    connection = Connection(**{**parameters, "defer_connect": True, "autocommit": True})
    try:
        connection.connect_in_time()
    except BaseException:
        dropped = connection.hang_up()
        if dropped is not None:
            # Until the server gives up the handshake it counts against max_connections.
            wait_for_end(dropped, 1)
            dropped.close()
        raise
    return connection


class Result(DriverResult):
    """A result that also keeps the status of its end, which PyMySQL throws away."""

    connection: "Connection | None"

    def _check_packet_is_eof(self, packet: Any) -> bool:
        if not packet.is_eof_packet():  # nearly always, as it is asked for each row
            return False
        self.warning_count, self.server_status = struct.unpack_from("<HH", packet.get_all_data(), 1)
        self.has_next = self.server_status & answers.MORE_RESULTS
        assert self.connection is not None
        self.connection.note_status(self.server_status)
        return True

    def _read_ok_packet(self, packet: Any) -> None:
        super()._read_ok_packet(packet)
        # With session tracking the message has its length in front, and the news behind.
        if self.message and self.connection is not None and self.connection.tracks:
            self.message = self.message[1 : 1 + self.message[0]]


class Connection(BaseConnection, DriverConnection):
    """A PyMySQL connection that knows whether its protocol is idle."""

    _dropped: socket.socket | None = None
    _front = b""
    _in_statement = False
    _changed = False
    _status_is_old = False
    tracks = False

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._home = self.charset, self.collation, self.db

    def connect_in_time(self) -> None:
        """Connect, with ``connect_timeout`` for all of it. Raises ``OperationalError``."""
        timeouts = self._read_timeout, self._write_timeout
        self._read_timeout = self._write_timeout = self.connect_timeout
        self.connect()
        self._read_timeout, self._write_timeout = timeouts

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> tls.Handshakes:
        context = tls.shared_context(sslp, super()._create_ssl_ctx)
        # A proxy, because a cycle would wait for a garbage collection.
        return tls.Handshakes(context, take_over=partial(setattr, weakref.proxy(self), "_sock"))

    def _request_authentication(self) -> None:
        self.tracks = bool(self.server_capabilities & SESSION_TRACK)
        if self.tracks:
            self.client_flag |= SESSION_TRACK
        super()._request_authentication()

    # -- statements ------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """See the contract. While an unbuffered result has unread rows, its cursor reads them."""
        return self._in_statement or (self._result is not None and self._result.unbuffered_active)

    def query(self, sql: str | bytes, unbuffered: bool = False) -> Any:
        """Send one statement and read its answer, behind what has to lead it."""
        if isinstance(sql, str):
            sql = sql.encode(self.encoding)
        if self._in_statement:
            # Its answer would be read as ours.
            raise err.ProgrammingError(
                CR.CR_COMMANDS_OUT_OF_SYNC, "Commands out of sync: an answer is outstanding"
            )
        lead = self.lead
        self._in_statement = True
        try:
            if lead is None or lead == self.autocommit_is_on():
                self.lead = None
                result = super().query(sql, unbuffered)
            else:
                result = self._query_behind(lead, sql, unbuffered)
        except err.MySQLError:
            # An error that the server sent was its whole answer. When the socket is lost or timed
            # out, the server may well be busy with the statement still.
            self._in_statement = self._sock is None
            self._status_is_old = True
            raise
        self._in_statement = False
        return result

    def _query_behind(self, lead: bool, sql: bytes, unbuffered: bool) -> int | None:
        """Set the server's autocommit and run the statement: one packet, one round trip.

        The server works off what it has received in order; each answer is read in its turn.
        """
        self._front = b"".join(LEADS[lead])
        self._execute_command(COMMAND.COM_QUERY, sql)  # _write_bytes() puts the rest in front
        number = self._next_seq_id  # more than 1 for a statement of several packets
        errors = self._read_answers(len(LEADS[lead]))
        told = len(errors) < len(LEADS[lead])
        if told:
            self.lead = None
        self._next_seq_id = number
        self._affected_rows = self._read_query_result(unbuffered=unbuffered)
        if not told and not lead:
            raise errors[0]
        return self._affected_rows

    def _read_answers(self, number: int) -> list[err.MySQLError]:
        """Read so many answers without rows; the errors among them that the server sent."""
        errors: list[err.MySQLError] = []
        for _ in range(number):
            self._next_seq_id = 1
            try:
                self._read_ok_packet()
            except err.MySQLError as error:
                if self._sock is None:
                    raise
                errors.append(error)
        return errors

    def _write_bytes(self, data: bytes) -> None:
        front, self._front = self._front, b""
        super()._write_bytes(front + data if front else data)

    def _read_query_result(self, unbuffered: bool = False) -> int | None:
        self._result = None
        result = Result(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.note_status(result.server_status)
        return result.affected_rows  # None while an unbuffered result is read

    def note_status(self, status: int) -> None:
        """Keep the flags of an answer to a statement."""
        self.server_status, self._status_is_old = status, False
        if status & answers.SESSION_CHANGED:
            self._changed = True

    def run(self, sql: str) -> None:
        """Run a statement whose rows nobody wants, such as COMMIT."""
        self.query(sql)

    def autocommit_is_on(self) -> bool:
        """What the server said with its last answer."""
        return bool(self.server_status & answers.AUTOCOMMIT)

    def in_transaction(self) -> bool | None:
        """What the server said with its last answer; None after an error, which does not tell."""
        return None if self._status_is_old else bool(self.server_status & answers.IN_TRANSACTION)

    def is_at_rest(self) -> bool:
        """All of it is in the last answer."""
        return (
            self.server_status & answers.TELLING == answers.AUTOCOMMIT
            and not (self._changed or self._status_is_old or self._in_statement)
            and self._result is not None
            and not self._result.unbuffered_active
        )

    def session_changed(self) -> bool | None:
        """What the server said since this was last asked; None if it is an old one."""
        changed, self._changed = self._changed, False
        return changed if self.tracks else None

    def has_more_results(self) -> bool:
        """Whether another result of the last statement is still to be read."""
        return self._result is not None and bool(self._result.has_next)

    def check_alive(self) -> None:
        """COM_PING."""
        self._in_statement = True
        self.ping()
        self._in_statement = False

    # -- between two users -----------------------------------------------------------------

    def _rows_of(self, sql: str) -> Sequence[Sequence[Any]]:
        self.query(sql)
        rows: Sequence[Sequence[Any]] = self._result.rows
        self.forget_result()
        return rows

    def set_up(self, statements: Sequence[str]) -> None:
        """Sends all at once; raises the first error."""
        all_of_it = [
            *([answers.TRACK] if self.tracks else []),
            # Also if the flags say that it is on: MySQL 9.7 says so with autocommit off for all.
            autocommit_as(True),
            *statements,
        ]
        self._introduce(self._send([query(sql) for sql in all_of_it]))
        self._changed = False

    def reset(self) -> bool:
        """COM_RESET_CONNECTION and what it leaves to be done, in one round trip.

        It resets the character set to that of the greeting, and it does not undo USE.
        """
        charset, collation, database = self._home
        if not database:
            return False
        names = f"SET NAMES {charset}" + (f" COLLATE {collation}" if collation else "")
        if isinstance(database, bytes):
            database = database.decode(self.encoding)
        try:
            row = self._send(
                [
                    command(COM_RESET_CONNECTION, ""),
                    query(names),
                    command(COMMAND.COM_INIT_DB, database),
                ]
            )
        except err.MySQLError:
            return False
        self._changed = False
        self.fresh = True
        return self._is_as_at_first(row)

    def _send(self, commands: list[bytes]) -> Sequence[Any]:
        """Send all of these in one packet, and a question behind them: the row of `identity_of`."""
        identity = self._identity()
        self._in_statement = True
        self.forget_result()
        self._write_bytes(b"".join([*commands, query(identity)]))
        errors = []
        for last in [False] * len(commands) + [True]:
            self._next_seq_id = 1
            try:
                self._read_query_result()
                while self.has_more_results():
                    self._read_query_result()
            except err.MySQLError as error:
                if self._sock is None:
                    raise
                if not last or answers.number_of(error) != UNKNOWN_VARIABLE:
                    errors.append(error)
        self._in_statement = False
        if errors:
            raise errors[0]
        if self._result is None:
            _anonymous.add(self.server_version)
            self.query(ANONYMOUS)
        result: Result | None = self._result
        assert result is not None
        row: Sequence[Any]
        (row,) = result.rows
        self.forget_result()
        return row

    def _identity(self) -> str:
        if self.server_version in _anonymous:
            return ANONYMOUS
        return identity_of(self.server_version)

    def is_reusable(self) -> bool:
        """Whether the protocol is idle: open, no answer outstanding, none half read."""
        result = self._result
        return (
            self._sock is not None
            and not self._in_statement
            and (result is None or not (result.unbuffered_active or result.has_next))
        )

    def forget_result(self) -> None:
        """Drop the rows of the last statement; its cursor has them too if anybody wants them."""
        if self._result is not None and self._result.unbuffered_active:
            # Its __del__ would read the unread rows from the socket, at a garbage collection.
            self._result.unbuffered_active = False
            self._in_statement = True
        self._result = None

    # -- the end ---------------------------------------------------------------------------

    def fileno(self) -> int:
        """The socket's file descriptor. Raises ``AttributeError`` when it is closed."""
        descriptor: int = self._sock.fileno()
        return descriptor

    def _force_close(self) -> None:
        # PyMySQL comes here by itself when a read fails or is interrupted (GreenletExit, Timeout).
        # The server does not know yet, so the socket is kept: its end shows when the server closes.
        if self._sock is not None and self._dropped is None:
            with contextlib.suppress(OSError, ValueError):
                self._dropped = socket.socket(fileno=os.dup(self._sock.fileno()))
        super()._force_close()
        if self.ssl:
            tls.forget_errors()

    def hang_up(self) -> socket.socket | None:
        """Say COM_QUIT if the protocol is idle, close, and return the socket to watch."""
        with contextlib.suppress(err.Error, OSError, ValueError):
            if self.busy:
                self._force_close()
            else:
                self.close()
        return self._dropped

    def disown(self) -> None:
        """In the child of a fork: close this copy of the socket, and tell the server nothing."""
        self.forget_result()
        sock, self._sock, self._rfile = self._sock, None, None
        if sock is not None:
            os.close(sock.detach())
