"""A pool among the others of its host: it hears what they need, and finds out which slots of dead
processes are really free. Only where the host's connections are counted (see ``ledger``).
"""

import logging
import threading
import time
from collections.abc import Callable

from .closing import FIRST_PAUSE, LONGEST_PAUSE, SETTLE, Closer
from .concurrency import Owner, current, in_background, is_dead, patched
from .drivers.contract import PhysicalConnection
from .holder import Spec
from .inventory import Inventory
from .ledger.share import Seat, Share, identify

logger = logging.getLogger("mysql_pool")

# How often a pool writes its record when nobody rings, and sees whether its file is still there.
BEAT = 0.25  # seconds


class HostTasks:
    """The background tasks of a pool that shares its host's connections.

    Args:
        share: this pool's part.
        name: of the pool, for the log.
        serve: gives what is free to those who wait.
    """

    def __init__(
        self,
        inventory: Inventory,
        share: Share,
        closer: Closer,
        *,
        name: str,
        serve: Callable[[], None],
    ):
        self._inventory, self._share, self._closer = inventory, share, closer
        self._name = name
        self._serve = serve
        self.start_anew()

    def start_anew(self) -> None:
        """At the start, and in the child of a fork: nobody listens."""
        # The greenlet or thread of each task. In a tuple, because the same one may begin twice.
        self._listening: tuple[Owner] | None = None
        self._sweeping: tuple[Owner] | None = None

    def attend(self) -> None:
        """Have the tasks run that are needed. Called by those who wait for a connection."""
        listening = self._listening
        # A program with one thread (manage.py) may fork, and Python warns about threads then. It
        # does with what is guaranteed to it, which nobody asks back.
        if (listening is None or is_dead(listening[0])) and (
            patched() or threading.current_thread() is not threading.main_thread()
        ):
            begun = False
            try:
                self._listening = (current(),)  # until it has begun
                self._share.is_heard = True
                begun = self._start(self._listen)
            finally:
                if not begun:
                    self._listening, self._share.is_heard = None, False
        sweeping = self._sweeping
        if self._share.has_met_left and (sweeping is None or is_dead(sweeping[0])):
            begun = False
            try:
                self._sweeping = (current(),)
                begun = self._start(self._sweep)
            finally:
                if not begun:
                    self._sweeping = None

    def _start(self, task: Callable[[], None]) -> bool:
        try:
            in_background(task)
        except RuntimeError as error:  # can't start new thread
            logger.warning("%s: %s is put off: %s", self._name, task.__name__, error)
            return False
        return True

    # -- what others need ------------------------------------------------------------------

    def _listen(self) -> None:
        """As long as the pool has a connection or somebody waits for one."""
        inventory, share = self._inventory, self._share
        me = self._listening = (current(),)
        try:
            while self._listening is me and not self._has_nothing():
                self._wait()
                if self._listening is me:
                    self.see()
        finally:
            if self._listening is me:
                self._listening, share.is_heard = None, False
                if inventory.waiters:  # this was interrupted
                    self.attend()

    def _has_nothing(self) -> bool:
        """Whether there is nothing to listen for. Then the others are told, and whoever waits from
        now on finds nobody who listens."""
        inventory = self._inventory
        with inventory.lock:
            if inventory.slots or inventory.waiters:
                return False
            self._listening, self._share.is_heard = None, False
            self._share.tell()
        return True

    def _wait(self) -> None:
        bell = self._share.bell
        try:
            if bell is not None:
                bell.wait(BEAT)
                return
        except OSError:  # the file was replaced, and the bell with it
            pass
        time.sleep(BEAT)

    def see(self) -> None:
        """Do what the others ask for, take what is free, and tell of this pool."""
        inventory, share = self._inventory, self._share
        now = time.monotonic()
        with inventory.lock:
            share.keep_only({slot.seat for slot in inventory.slots if slot.seat is not None})
            if share.join(now):
                share.look(now, at_once=True)
        for slot in inventory.condemn_surplus():
            self._closer.hang_up(slot)
        if inventory.waiters:
            self._serve()
            self.attend()

    # -- what the dead have left -----------------------------------------------------------

    def _sweep(self) -> None:
        """Ask the server about the connections of dead processes until it knows none of them.

        They are not killed: their numbers may be others' by now, after a restart of the server.
        """
        inventory, share = self._inventory, self._share
        me = self._sweeping = (current(),)
        pause = FIRST_PAUSE
        try:
            with inventory.lock:
                spec = next((slot.spec for slot in inventory.slots), None)
                if spec is not None:
                    share.claim_left()
            while spec is not None and self._sweeping is me and (seats := self._left()):
                gone = self._ask(spec, seats)
                self._free(gone)
                if len(gone) < len(seats):
                    # Of a file that was replaced, they may be of living processes, who move.
                    self._unclaim()
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    with inventory.lock:
                        share.claim_left()
        finally:
            if self._sweeping is me:  # else they are the parent's, who asks
                self._unclaim()
                self._sweeping = None

    def _unclaim(self) -> None:
        """Let go of what dead processes have left; whoever takes it next has to ask."""
        with self._inventory.lock:
            for seat in list(self._share.claimed):
                self._share.give_back(seat, certain=False)

    def _left(self) -> list[Seat]:
        """Seats with a dead process's connection."""
        with self._inventory.lock:
            share = self._share
            return [*share.claimed, *(seat for seat in share.seats if seat.left is not None)]

    def _ask(self, spec: Spec, seats: list[Seat]) -> list[Seat]:
        """Those of ``seats`` whose dead process's connection the server does not know any more."""
        gone: list[Seat] = []

        def ask(connection: PhysicalConnection) -> None:
            gone.extend(seat for seat in seats if self._is_gone(seat, connection))

        try:
            self._closer.over_any(spec, ask)
        except Exception as error:
            logger.debug("%s: cannot ask for the dead: %s", self._name, error)
        return gone

    @staticmethod
    def _is_gone(seat: Seat, connection: PhysicalConnection) -> bool:
        left = seat.left
        if left is None or identify(connection.server) != left.server:
            return True  # that server cannot be asked any more, and is not the one that counts
        return not connection.knows(left.number)

    def _free(self, seats: list[Seat]) -> None:
        if seats:
            time.sleep(SETTLE)  # the server's count drops a moment after its list
        with self._inventory.lock:
            for seat in seats:
                if seat in self._share.seats:
                    self._share.left_is_gone(seat)
                else:
                    self._share.give_back(seat)
        if seats:
            self._serve()
