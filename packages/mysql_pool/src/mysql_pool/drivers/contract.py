"""What the rest of this package needs of a driver. A driver that keeps this works; a fake that
keeps it makes the session and the pool testable without a server.

Two of the answers have three values. ``None`` means that the driver cannot know; whoever asks then
has to take the worse for true.
"""

import socket
from collections.abc import Sequence
from typing import Any, Protocol


class PhysicalConnection(Protocol):
    """One connection at the server. Raises the driver's errors, and `TimeoutError` of nobody."""

    clean: bool
    """Whoever gave it back left nothing behind. Written by the session and the pool."""
    fresh: bool
    """``set_up`` has to come before anything else."""
    expires_at: float
    idle_since: float
    """Seconds on the pool's clock."""
    slot: Any
    """The place that it takes in its pool."""
    lead: bool | None
    """The server's autocommit as the next statement needs it, or None: leave it as it is. It is
    set with, or before, that statement, and never without one. If it cannot be set, the statement
    has had no effect, or has had it as the server's autocommit then was; `autocommit_is_on` tells.
    """
    server: str | None
    """The server's identity (``@@server_uuid``, MariaDB's ``@@server_uid``); None: unknown."""
    number: int
    """The server's own number of the connection, for KILL; 0: unknown."""

    @property
    def busy(self) -> bool:
        """From the first byte of a statement to the last byte of its answer.

        A connection that is busy without anybody reading from it never reaches another user.
        """

    def autocommit_is_on(self) -> bool:
        """The server's autocommit, by the flags of its last answer."""

    def in_transaction(self) -> bool | None:
        """Whether a transaction is open, by the last answer; None: unknown."""

    def session_changed(self) -> bool | None:
        """Whether the server saw its session change since this was last asked; None: unknown."""

    def is_at_rest(self) -> bool:
        """Whether nobody could tell that a statement has run, as far as the driver knows: all of
        the answer is read, autocommit is on, no transaction is open, the session is unchanged."""

    def run(self, sql: str) -> None:
        """Run a statement whose rows nobody wants. Raises the driver's errors."""

    def check_alive(self) -> None:
        """Ask the server for a sign of life; raises the driver's error if there is none."""

    def set_up(self, statements: Sequence[str]) -> None:
        """Make a new or reset session ours: run these, in as few round trips as can be, with
        autocommit on, and learn ``server`` and ``number``."""

    def reset(self) -> bool:
        """Make the session as new (``fresh``); False when that cannot be done here."""

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


class Driver(Protocol):
    """A module of this folder."""

    NAME: str
    Error: type[Exception]
    InterfaceError: type[Exception]
    OperationalError: type[Exception]
    ProgrammingError: type[Exception]
    Cursor: type
    UNBUFFERED_CURSOR: type
    Connection: type
    """The driver's own class with `PhysicalConnection` kept."""

    def install(self) -> None:
        """Make ``import MySQLdb``, which Django's backend does, mean this driver."""

    def connect(self, parameters: dict) -> PhysicalConnection:
        """Open a connection, or raise the driver's ``OperationalError``."""
