"""One place under the bound of a pool, from before its connection is opened until the server has
closed it. The slots that exist are counted; nothing is added up and subtracted.

A signal handler may raise an exception at any instruction (Ctrl-C, Celery's soft time limit). So
each step from one state to the next is a single assignment, and the pool can make the idle slots
and the queue anew from the slots: see ``Watcher.reconcile``.
"""

import socket
import weakref
from typing import Literal

from .concurrency import Owner, current, is_dead
from .drivers.contract import PhysicalConnection
from .holder import Holder, Spec
from .ledger.share import Seat
from .places import Place

CONNECTING: Literal["connecting"] = "connecting"
OPEN: Literal["open"] = "open"
CLOSING: Literal["closing"] = "closing"


class Slot:
    """``state`` is CONNECTING, OPEN or CLOSING; an OPEN slot is in use, or idle."""

    __slots__ = (
        *(
            "connection",
            "dropped",
            "given_up",
            "holder",
            "inline",
            "interrupted",
            "seat",
            "told_to_end",
        ),
        *("owner", "since", "spec", "state", "unfinished", "where", "worker"),
    )

    def __init__(self, spec: Spec, now: float, inline: bool = False, seat: Seat | None = None):
        self.state: Literal["connecting", "open", "closing"] = CONNECTING
        self.spec = spec
        self.inline = inline
        """Whether the holder opens the connection in its own thread."""
        self.seat = seat
        """Its place among all connections of the host, where those are counted."""
        self.since = now
        """When this state began, on the pool's clock; in use: when it was lent."""
        self.connection: PhysicalConnection | None = None
        self.holder: weakref.ref[Holder] | None = None
        """A reference to who may hold it. Who holds it says so with its own ``held``."""
        self.owner: Owner | None = None
        """The greenlet or thread that took it."""
        self.where: Place | None = None
        """Where in the project's code it was taken."""
        self.worker: Owner | None = None
        """The greenlet or thread that opens or closes it."""
        self.dropped: socket.socket | None = None
        """The socket on which the server's end shows, once this side has closed."""
        self.interrupted = False
        """Whether a statement was running when it was condemned."""
        self.unfinished = False
        """Whether a transaction was open when it was condemned, which the server has to undo."""
        self.told_to_end = False
        """Whether KILL was sent, which closes the socket before the statement has noticed."""
        self.given_up = False
        """Whether the server's end is not waited for any longer."""

    def lend(self, holder: Holder, owner: Owner, now: float, where: Place | None) -> None:
        """Hand the connection to ``holder``. The last assignment is the step."""
        connection = self.connection
        assert connection is not None
        self.owner, self.since, self.where = owner, now, where
        self.holder = holder.reference
        connection.clean = False
        holder.held = connection

    def taken_back(self) -> None:
        """Nobody holds it any more."""
        self.holder = self.owner = self.where = None

    @property
    def in_use(self) -> bool:
        """Whether somebody holds it."""
        if self.holder is None:
            return False
        holder = self.holder()
        return holder is not None and holder.held is self.connection

    def works(self) -> None:
        """The greenlet or thread that calls this opens or closes the slot from here on."""
        self.worker = current()

    @property
    def is_forgotten(self) -> bool:
        """Whether nobody works on opening or closing it."""
        return self.worker is None or is_dead(self.worker)
