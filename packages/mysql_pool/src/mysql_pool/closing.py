"""How a pool closes connections: a slot is free when the server has closed it too.

A server ends a statement only when it is done with it, whoever has gone away; until then the
connection counts against ``max_connections``. So somebody stays until the server's end shows, and
has a statement that nobody waits for any more ended with KILL.
"""

import logging
import os
import socket
import threading
import time
import weakref

from . import drivers
from .concurrency import in_background
from .drivers import wait_for_end
from .errors import PoolError
from .slot import CLOSING, Slot

logger = logging.getLogger("mysql_pool")

# A server's connection count drops a moment after its end of the socket closes (MariaDB: in
# unlink_thd(), after the socket). A slot that is given back at once would race with that.
SETTLE = 0.02  # seconds
# How long a statement that nobody waits for may go on before it is killed.
GRACE = 0.05  # seconds
# The shortest time without any word from the server after which it is taken for dead.
SILENT = 2  # seconds


class Closing:
    """The part of `Pool` that closes connections; it has no state of its own."""

    def condemn(self, slot: Slot, reason: str) -> None:
        """From here on nobody gets this connection; ``hang_up`` has to follow. Lock held."""
        self.closed_by[reason] += 1
        slot.interrupted, slot.since = slot.connection.busy, time.monotonic()
        slot.worker = None
        slot.state = CLOSING

    def hang_up(self, slot: Slot) -> None:
        """Close a condemned connection, and have somebody wait for the server's end."""
        slot.dropped = slot.connection.hang_up()
        if slot.dropped is None or slot.dropped.fileno() < 0:
            self.forget_slot(slot)  # there is nothing to wait for
            return
        try:
            in_background(self._see_off, slot)
        except RuntimeError as error:  # can't start new thread: `reconcile` tries again
            logger.warning("%s: a connection is not seen off yet: %s", self.name, error)

    def _see_off(self, slot: Slot) -> None:
        """Wait until the server has ended what we closed; end its statement if it goes on."""
        slot.works()
        dropped = socket.socket(fileno=os.dup(slot.dropped.fileno()))  # of this thread's hub
        ended = threading.Event()
        if not wait_for_end(dropped, GRACE):
            if slot.interrupted:
                # Beside this: the statement may well end before a connection is free for KILL.
                in_background(self._kill_statement, slot.connection, ended)
            while not wait_for_end(dropped, 1.0) and not self._is_given_up(slot):
                pass
        ended.set()
        dropped.close()
        slot.dropped.close()
        time.sleep(SETTLE)
        self.forget_slot(slot)

    def _is_given_up(self, slot: Slot) -> bool:
        """Whether the server's end need not be waited for any longer.

        When a server has said nothing at all since this was closed, the address may lead to another
        one by now. One slot is given up to find out: if it does, the others are free too (see
        ``heard_of``); if not, the server is alive, and is told to end them.
        """
        now = time.monotonic()
        # The kernel gives up a peer that acknowledges nothing; it does not give up a server that
        # hangs on a host that lives. This clock does.
        if slot.given_up or slot not in self._slots or now - slot.since > drivers.UNREACHABLE:
            return True
        silent = max(SILENT, 2 * self.timeout)
        if not self._waiters or self._alive_at > slot.since or now - slot.since < silent:
            return False
        with self._lock:
            others = [one for one in self._slots if one.state is CLOSING]
            slot.given_up = len(self._slots) >= self.maxsize and not any(
                one.given_up for one in others
            )
            if slot.given_up:
                self._silent = slot.connection.server
        return slot.given_up

    def heard_of(self, server: str | None) -> None:
        """A new connection has reached ``server``. If another one was taken for dead, its slots are
        free: they are not at this server."""
        silent, self._silent = self._silent, None
        if silent is None or server in (None, silent):
            return
        for slot in list(self._slots):
            if slot.state is CLOSING and slot.connection.server == silent:
                slot.given_up = True

    def _kill_statement(self, abandoned, ended: threading.Event) -> None:
        """KILL needs a connection like everybody else, but goes to the head of the queue.

        Only a connection to the same server will do: at another one, behind a balancer or after a
        failover, the number is a stranger's.
        """
        if abandoned.server is None or not abandoned.number:
            return
        while not ended.is_set():
            helper = Helper()
            try:
                self.checkout(helper, abandoned.slot.spec, urgent=True)
            except PoolError:
                continue  # nothing came free; the statement goes on, so ask again
            except Exception as error:
                logger.warning("%s: cannot end statement: %s", self.name, error)
                return
            try:
                if helper.held.fresh:  # and stays so, for whoever gets it next
                    helper.held.set_up(())
                if not ended.is_set() and helper.held.server == abandoned.server:
                    self._kill(helper.held, abandoned.number)
                return
            except Exception as error:
                # 1094, "unknown thread id": it ended by itself.
                logger.debug("%s: KILL %s: %s", self.name, abandoned.number, error)
                return
            finally:
                connection, helper.held = helper.held, None
                connection.clean = True
                self.release(connection, helper.reference)


class Helper:
    """Who holds a connection for the pool itself."""

    inline = False

    def __init__(self):
        self.held = None
        self.reference = weakref.ref(self)
