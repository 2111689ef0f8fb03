"""One place under the bound of a pool, from before its connection is opened until the server has
closed it. What exists is counted; nothing is added up and subtracted.

A signal handler may raise an exception at any instruction (Ctrl-C, Celery's soft time limit). So
each step from one state to the next is a single assignment, and whatever else the pool keeps (the
idle ones, the queue) can be made anew from the slots: see ``Pool.reconcile``.
"""

from .concurrency import current, is_dead

CONNECTING, OPEN, CLOSING = "connecting", "open", "closing"


class Slot:
    """``state`` is CONNECTING, OPEN or CLOSING; an OPEN one is in use, or idle."""

    __slots__ = (
        *("connection", "dropped", "given_up", "holder", "inline", "interrupted"),
        *("owner", "since", "spec", "state", "where", "worker"),
    )

    def __init__(self, spec, now: float, inline: bool = False):
        self.state = CONNECTING
        self.spec = spec
        self.inline = inline
        self.since = now
        """When this state began, on the pool's clock; in use: when it was lent."""
        self.connection = None
        self.holder = None
        """A reference to who may hold it. Who does says so with its own ``held``."""
        self.owner = self.where = None
        self.worker = None
        """Who opens or closes it."""
        self.dropped = None
        self.interrupted = False
        self.given_up = False

    def lend(self, holder, owner, now: float, where) -> None:
        """Hand the connection to ``holder``. The last assignment is what makes it so."""
        self.owner, self.since, self.where = owner, now, where
        self.holder = holder.reference
        self.connection.clean = False
        holder.held = self.connection

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
        """Who calls this opens or closes it from here on."""
        self.worker = current()

    @property
    def is_forgotten(self) -> bool:
        """Whether nobody works on opening or closing it."""
        return self.worker is None or is_dead(self.worker)
