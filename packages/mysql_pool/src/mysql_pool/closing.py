"""How a pool closes connections: a slot is free when the server has closed it too.

A server runs a statement to its end even if the client has gone away; until then the
connection counts against ``max_connections``. So a task of the pool waits until the server's end
shows. A statement that nobody waits for any more is ended with KILL.

The end of the socket is not the end of the connection where something is left to do: the server
closes the socket first, then undoes an open transaction (MariaDB: 4 s for 400,000 rows), and KILL
closes it before the statement has noticed. There the server is asked until it does not know the
connection any more.
"""

import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from . import drivers
from .concurrency import in_background
from .drivers import wait_for_end
from .drivers.contract import PhysicalConnection
from .errors import PoolError
from .holder import Holder, Spec
from .inventory import Inventory
from .slot import CLOSING, Slot

logger = logging.getLogger("mysql_pool")

# A server's connection count drops a moment after its end of the socket closes (MariaDB: in
# unlink_thd(), after the socket). A slot that is given back at once would race with that.
SETTLE = 0.02  # seconds
# How long a statement that nobody waits for may go on before it is killed.
GRACE = 0.05  # seconds
# The shortest time without any word from the server after which it is taken for dead.
SILENT = 2  # seconds


#: Ends the connection with this number at the server, over another connection.
Kill = Callable[[PhysicalConnection, int], None]

# Between two questions whether the server still knows a connection. The pauses double.
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.5  # seconds


class Lender(Protocol):
    """What the closer needs of its pool, to have a connection for KILL: see ``Pool``."""

    def checkout(self, holder: Holder, spec: Spec, urgent: bool = False) -> None:
        """Give ``holder`` a connection."""

    def release(
        self,
        connection: PhysicalConnection,
        reference: weakref.ref[Holder],
        reason: str | None = None,
    ) -> None:
        """Take the connection back."""


class Closer:
    """Closes connections that were condemned, and frees their slots when the server has closed.

    Args:
        name: of the pool, for the log.
        lender: lends a connection for KILL.
        forget_slot: frees a slot of which nothing is at the server any more.
        kill: see `Kill`.
    """

    def __init__(
        self,
        inventory: Inventory,
        lender: Lender,
        *,
        name: str,
        forget_slot: Callable[[Slot], None],
        kill: Kill,
    ):
        self._inventory, self._lender = inventory, lender
        self._name = name
        self._forget_slot = forget_slot
        self._kill = kill
        self.start_anew()

    def start_anew(self) -> None:
        """At the start, and in the child of a fork."""
        self._silent: str | None = None  # the server that is taken for dead

    def hang_up(self, slot: Slot) -> None:
        """Close a condemned connection, and have its slot freed when the server has closed too."""
        assert slot.connection is not None
        slot.dropped = slot.connection.hang_up()
        if slot.dropped is None or slot.dropped.fileno() < 0:
            self._forget_slot(slot)  # there is nothing to wait for
            return
        try:
            in_background(self._see_off, slot)
        except RuntimeError as error:  # can't start new thread: `reconcile` tries again
            logger.warning("%s: a connection is not seen off yet: %s", self._name, error)

    def _see_off(self, slot: Slot) -> None:
        """Wait until the server has ended what we closed; end its statement if it goes on."""
        slot.works()
        assert slot.connection is not None
        assert slot.dropped is not None
        dropped = socket.socket(fileno=os.dup(slot.dropped.fileno()))  # of this thread's hub
        ended = threading.Event()
        if not wait_for_end(dropped, GRACE):
            if slot.interrupted:
                # Beside this: the statement may well end before a connection is free for KILL.
                in_background(self._kill_statement, slot, ended)
            while not wait_for_end(dropped, 1.0) and not self._is_given_up(slot):
                pass
        ended.set()
        dropped.close()
        slot.dropped.close()
        if slot.unfinished or slot.told_to_end:
            self._wait_until_unknown(slot)
        time.sleep(SETTLE)
        self._forget_slot(slot)

    def _is_given_up(self, slot: Slot) -> bool:
        """Whether the server's end need not be waited for any longer.

        When a server has said nothing at all since this was closed, the address may lead to another
        one by now. One slot is given up to find out. If it leads to another server, the other slots
        are free too (see ``heard_of``). If not, the server is alive, and is told to end them.
        """
        inventory = self._inventory
        now = time.monotonic()
        # The kernel gives up a peer that acknowledges nothing; it does not give up a server that
        # hangs on a host that lives. This clock does.
        if slot.given_up or slot not in inventory.slots or now - slot.since > drivers.UNREACHABLE:
            return True
        silent = max(SILENT, 2 * inventory.limits.timeout)
        if not inventory.waiters or inventory.alive_at > slot.since or now - slot.since < silent:
            return False
        with inventory.lock:
            others = [one for one in inventory.slots if one.state is CLOSING]
            is_full = len(inventory.slots) >= inventory.most
            slot.given_up = is_full and not any(one.given_up for one in others)
            if slot.given_up and slot.connection is not None:
                self._silent = slot.connection.server
        return slot.given_up

    def heard_of(self, server: str | None) -> None:
        """A new connection has reached ``server``. If another one was taken for dead, its slots are
        free: they are not at this server."""
        silent, self._silent = self._silent, None
        if silent is None or server in (None, silent):
            return
        for slot in list(self._inventory.slots):
            connection = slot.connection
            if slot.state is CLOSING and connection is not None and connection.server == silent:
                slot.given_up = True

    def _kill_statement(self, slot: Slot, ended: threading.Event) -> None:
        """KILL needs a connection like everybody else, but goes to the head of the queue.

        Not once the socket has ended: after a restart of the server the number is a stranger's.
        """

        def kill(connection: PhysicalConnection, number: int) -> None:
            if not ended.is_set():
                slot.told_to_end = True
                self._kill(connection, number)

        while not ended.is_set():
            try:
                self._over_another(slot, kill)
            except PoolError:
                continue  # nothing came free; the statement goes on, so ask again
            except Exception as error:  # 1094, "unknown thread id": it ended by itself
                logger.debug("%s: cannot end a statement: %s", self._name, error)
            return

    def _wait_until_unknown(self, slot: Slot) -> None:
        """Wait until the server does not know the connection any more, or nobody can ask."""
        known: list[bool] = []

        def ask(connection: PhysicalConnection, number: int) -> None:
            known.append(connection.knows(number))

        pause = FIRST_PAUSE
        while not (self._is_given_up(slot) or self._free_if_nobody_can_ask(slot)):
            known.clear()
            try:
                self._over_another(slot, ask)
            except Exception as error:
                logger.debug("%s: cannot ask for a connection: %s", self._name, error)
            if not any(known):
                return
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _over_another(self, slot: Slot, action: Callable[[PhysicalConnection, int], None]) -> None:
        """Call ``action`` with another connection to the same server, and the number of this one.

        Not if there is none: at another server, behind a balancer or after a failover, the number
        is a stranger's. Raises what ``Lender.checkout`` raises, and ``action``.
        """
        abandoned = slot.connection
        if abandoned is None or abandoned.server is None or not abandoned.number:
            return
        server, number = abandoned.server, abandoned.number

        def act(connection: PhysicalConnection) -> None:
            if connection.server == server:
                action(connection, number)

        self.over_any(slot.spec, act)

    def over_any(self, spec: Spec, action: Callable[[PhysicalConnection], None]) -> None:
        """Call ``action`` with a connection of the pool, for which it goes to the queue's head.

        Raises what ``Lender.checkout`` raises, and ``action``.
        """
        helper = Helper()
        self._lender.checkout(helper, spec, urgent=True)
        connection = helper.held
        try:
            if connection is None:  # the pool took it away: the process has forked
                return
            if connection.fresh:  # it stays fresh for its next user
                connection.set_up(())
            action(connection)
        finally:
            if connection is not None:
                helper.held = None
                connection.clean = True
                self._lender.release(connection, helper.reference)

    def _free_if_nobody_can_ask(self, slot: Slot) -> bool:
        """Whether the slot is free now. If all that the pool may have is closing, nobody can ask:
        this one is freed at the end of its socket, and its successor asks for the others."""
        inventory = self._inventory
        with inventory.lock:
            full = len(inventory.slots) >= inventory.most
            if full and all(one.state is CLOSING for one in inventory.slots):
                inventory.remove_slot(slot, certain=False)
        return slot not in inventory.slots


class Helper:
    """Holds a connection for the pool itself."""

    inline = False

    def __init__(self) -> None:
        self.held: PhysicalConnection | None = None
        self.reference: weakref.ref[Holder] = weakref.ref(self)
