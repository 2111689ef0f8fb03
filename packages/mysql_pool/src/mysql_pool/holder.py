"""Who holds a connection, and what the connection was opened with. Knows no pool and no driver."""

import weakref
from collections.abc import Callable
from typing import Any, Protocol

from .drivers.contract import PhysicalConnection

Parameters = dict[str, Any]


class Holder(Protocol):
    """Who takes a connection from a pool: a `Session`, or the pool's own `closing.Helper`."""

    held: PhysicalConnection | None
    """The connection. The pool writes it when it lends one; the holder sets it to None before it
    calls ``Pool.release``."""
    reference: "weakref.ref[Holder]"
    """To the holder itself: always the same object, by which the pool knows the holder again."""
    inline: bool
    """Whether the holder has to open its connection in its own thread."""


class Spec:
    """What connections are opened with. Connections of different specs share a pool's bound.

    Args:
        connect: opens a connection with the parameters that it is given.
    """

    def __init__(self, connect: Callable[[Parameters], PhysicalConnection]):
        self._connect = connect
        self.parameters: Parameters = {}
        """May be replaced at any time: a password expires."""
        self.server_data: dict[str, Any] | None = None
        """What Django has asked the server for, once: its version and settings."""

    def connect(self) -> PhysicalConnection:
        """Open a connection with the parameters of now. Raises the driver's errors."""
        return self._connect(self.parameters)
