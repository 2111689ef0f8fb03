"""What the rest of this package needs of a driver. A driver that keeps this works; a fake that
keeps it makes the session and the pool testable without a server.

Two of the answers have three values: ``in_transaction`` and ``session_changed``. True and False are
what the server has said. None means that the driver cannot know: the server did not say it, or the
driver does not show it. Then the caller does what is right in both cases: it ends a transaction
that may be open, and goes by the rules alone for the session's state.
"""

import socket
from collections.abc import Sequence
from typing import Any, Protocol


class PhysicalConnection(Protocol):
    """One connection at the server.

    Methods that send something raise the driver's errors. Written by this package's session and
    pool, never by a driver (but for its first value): ``clean``, ``expires_at``, ``idle_since``,
    ``slot``. Both write ``fresh`` and ``lead``.
    """

    clean: bool
    """Nothing of a user is left in its session. First True."""
    fresh: bool
    """``set_up`` has to come before anything else. First True; ``reset`` sets it, the session
    clears it."""
    expires_at: float
    """When it is too old, in seconds on the pool's clock."""
    idle_since: float
    """When it came back, in seconds on the pool's clock."""
    slot: Any
    """The `Slot` that it has in its pool. No driver looks at it, so it has no type here. None
    at first, and when that slot is free."""
    lead: bool | None
    """The server's autocommit as the next statement needs it; None: as it is. The session sets it;
    the driver sends it with, or before, that statement, and never without one, and clears it when
    the server has it. If it cannot be set, the statement has had no effect, or has had its effect
    under the autocommit that the server had; `autocommit_is_on` tells. First None."""
    server: str | None
    """The server's identity (``@@server_uuid``, MariaDB's ``@@server_uid``), which ``set_up``
    learns; None: unknown."""
    number: int
    """The server's own number of the connection, for KILL, which ``set_up`` learns; 0: unknown."""

    @property
    def busy(self) -> bool:
        """From the first byte of a statement to the last byte of its answer.

        A connection that is busy without anybody reading from it never reaches another user.
        """

    def autocommit_is_on(self) -> bool:
        """The server's autocommit, by the flags of its last answer."""

    def in_transaction(self) -> bool | None:
        """Whether a transaction is open, by the last answer.

        None: the last answer did not say it (an error), or this driver never shows it.
        """

    def session_changed(self) -> bool | None:
        """Whether the server saw its session change since this was last asked.

        None: this server does not tell, or this driver does not show it. Then what a statement
        leaves behind is known by its text only (`rules`).
        """

    def is_at_rest(self) -> bool:
        """Whether a statement has left nothing behind, as far as the driver knows: all of its
        answer is read, autocommit is on, no transaction is open, the session is unchanged."""

    def leaves_transaction(self) -> bool:
        """Whether the server would have a transaction to undo if this were closed now: one is open,
        or may be. Asks nobody and never raises."""

    def run(self, sql: str) -> None:
        """Run a statement whose rows nobody wants. Raises the driver's errors."""

    def check_alive(self) -> None:
        """Ask the server for a sign of life. Raises the driver's error if there is none."""

    def set_up(self, statements: Sequence[str]) -> None:
        """Prepare a new or reset session: switch autocommit on, run these statements, in as few
        round trips as possible, and learn ``server`` and ``number``."""

    def knows(self, number: int) -> bool:
        """Whether its server has a connection of this number and account, which may be about to
        end. Raises the driver's errors."""

    def reset(self) -> bool:
        """Make the session as new (``fresh``). False when that cannot be done here: then the
        connection has to be closed."""

    def has_more_results(self) -> bool:
        """Whether another result of the last statement is still to be read."""

    def is_reusable(self) -> bool:
        """Whether the protocol is idle: open, no answer outstanding, none half read."""

    def is_quiet(self) -> bool:
        """Whether an idle connection can be used: nothing to read, not closed."""

    def forget_result(self) -> None:
        """Drop the rows of the last statement; a cursor that wants them has them."""

    def hang_up(self) -> socket.socket | None:
        """Close from this side, and say so to the server if the protocol is idle. Returns the
        socket on which the server's end will show, the same one each time; None if there is nothing
        to wait for. Never raises."""

    def disown(self) -> None:
        """In the child of a fork: close this process's copy, and tell the server nothing."""


class DriverCursor(Protocol):
    """A cursor of the driver, as DB-API has it. `SessionCursor` lends it a connection."""

    connection: Any
    """The connection that it uses for its next statement; None: it has none."""
    description: Any
    """The columns of the last result; None: it has no rows."""
    arraysize: int
    """So many rows are given by ``fetchmany()``."""

    def __init__(self, connection: Any) -> None:
        """It has to be possible without a connection: None."""

    def execute(self, query: Any, args: Any = None) -> Any:
        """Run one statement."""

    def executemany(self, query: Any, args: Any) -> Any:
        """Run one statement with each of these arguments."""

    def callproc(self, procname: Any, args: Any = ()) -> Any:
        """Call a stored procedure."""

    def nextset(self) -> Any:
        """Go on to the next result; None (or 0) when there is none."""

    def close(self) -> None:
        """Forget the rows; with a connection, read what is left of the answer."""


class Driver(Protocol):
    """A module of this folder."""

    @property
    def NAME(self) -> str:  # noqa: N802 - constants and classes of a module
        """What ``OPTIONS["DRIVER"]`` calls it."""

    @property
    def Error(self) -> type[Exception]:  # noqa: N802
        """DB-API's class; so are the next three."""

    @property
    def InterfaceError(self) -> type[Exception]:  # noqa: N802
        """The driver is used in a wrong way."""

    @property
    def OperationalError(self) -> type[Exception]:  # noqa: N802
        """The server or the way to it fails; its first argument is the error's number."""

    @property
    def ProgrammingError(self) -> type[Exception]:  # noqa: N802
        """The statement, or the moment for it, is wrong."""

    @property
    def Cursor(self) -> type[DriverCursor]:  # noqa: N802
        """The class of cursors that read all rows when a statement has ended."""

    @property
    def UNBUFFERED_CURSOR(self) -> type[DriverCursor]:  # noqa: N802
        """The class of cursors that leave the rows at the server until they are read."""

    @property
    def Connection(self) -> type[PhysicalConnection]:  # noqa: N802
        """The driver's own class with `PhysicalConnection` kept."""

    def install(self) -> None:
        """Make ``import MySQLdb``, which Django's backend does, mean this driver."""

    def connect(self, parameters: dict[str, Any]) -> PhysicalConnection:
        """Open a connection, or raise the driver's ``OperationalError``."""
