"""What both drivers' connections share of the contract; mixed into the driver's own class."""

import select
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..concurrency import poll

UNKNOWN_VARIABLE = 1193
_QUESTION = "SELECT CONNECTION_ID(), CURRENT_ROLE(), @@init_connect, "
ANONYMOUS = _QUESTION + "NULL"


def identity_of(version: str) -> str:
    """The question by which a server of this version tells who it is.

    Behind a balancer or after a failover the same address leads to another one. MariaDB's
    ``@@server_uid`` alone is a hash of the host's network address and the port (measured: two
    servers without a port had the same), so host and data folder are asked for as well.
    """
    if "MariaDB" in version:
        return _QUESTION + "CONCAT_WS(' ', @@server_uid, @@hostname, @@port, @@datadir)"
    return _QUESTION + "@@server_uuid"


def autocommit_as(on: bool) -> str:
    """The statement; with ``on`` it also commits what is open."""
    return f"SET autocommit = {on:d}"


class BaseConnection:
    """See ``contract.PhysicalConnection``."""

    clean = True
    expires_at = idle_since = 0.0
    fresh = True
    slot: Any = None
    lead: bool | None = None
    server: str | None = None
    number = 0
    role: str | None = None
    """The role that the session began with."""
    init_connect = ""
    """What the server runs for a new connection, and not for one that was reset."""
    _look: Callable[[int], list[tuple[int, int]]] | None = None

    if TYPE_CHECKING:  # the driver's class has it

        def fileno(self) -> int: ...

        @property
        def busy(self) -> bool: ...
        def autocommit_is_on(self) -> bool: ...
        def in_transaction(self) -> bool | None: ...
        def get_server_info(self) -> str: ...
        def _rows_of(self, sql: str) -> Sequence[Sequence[Any]]: ...

    def is_quiet(self) -> bool:
        """Costs one system call.

        A server that closes a connection (restart, KILL, wait_timeout) makes its socket
        readable: end of file, or an error packet that no statement has asked for.
        """
        try:
            if self._look is None:
                poller = poll()
                poller.register(self.fileno(), select.POLLIN)  # HUP, ERR and NVAL come unasked
                self._look = poller.poll
            return not self._look(0)
        except (OSError, ValueError, AttributeError):
            return False  # somebody else has closed it

    def leaves_transaction(self) -> bool:
        """By the flags of the last answer."""
        if self.clean:
            return False
        try:
            if not self.autocommit_is_on():
                return True
            opened = self.in_transaction()
        except Exception:  # somebody has closed the driver's object: it tells nothing any more
            return True
        return self.busy if opened is None else opened

    def knows(self, number: int) -> bool:
        """By the list of those that an account sees of itself.

        MySQL's SHOW PROCESSLIST leaves out connections whose socket is closed. Its other list is
        empty where the Performance Schema is off; then nobody can tell.
        """
        is_mariadb = "MariaDB" in self.get_server_info()
        sql = "SHOW PROCESSLIST" if is_mariadb else "SELECT id FROM performance_schema.processlist"
        return any(int(row[0]) == number for row in self._rows_of(sql))

    def _introduce(self, row: Sequence[Any]) -> None:
        """Keep what `identity_of` has told."""
        number, self.role, self.init_connect, server = row
        self.number = int(number)
        self.server = server.decode() if isinstance(server, bytes) else server

    def _is_as_at_first(self, row: Sequence[Any]) -> bool:
        """Whether a reset has undone what it has to; ``row`` is of `identity_of`."""
        return row[1] == self.role and not row[2]
