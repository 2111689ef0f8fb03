"""A pool's part of its host's connections.

Nothing here waits. All methods are called with the pool's lock held.
"""

import hashlib
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from .bell import Bell
from .fairness import Claim, most, shares, to_give_up
from .file import LedgerFile, SlotOwner, Unusable
from .record import Record

logger = logging.getLogger("mysql_pool")

# Between two looks at what the others want, unless one of them rings.
LOOK_EVERY = 0.05  # seconds
# How often a pool without a ledger tries whether there is one now.
TRY_EVERY = 5.0  # seconds
# How long a pool that has nobody to ask passes over a slot that a dead process has left.
LEFT_ALONE = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the settings say of a pool's part, in connections."""

    path: str
    """Of the ledger."""
    host_conns: int
    """All processes of the host together."""
    guaranteed: int
    """This pool may always open so many."""
    static_conns: int
    """This pool may open so many while there is no ledger that can be used."""
    role: str
    """Of the process: a word for those who read the ledger."""


class Seat:
    """A place for one connection. ``number`` is the host's slot, None while there is no ledger."""

    __slots__ = ("connection", "left", "number")

    def __init__(self, number: int | None, left: SlotOwner | None = None):
        self.number = number
        self.connection = SlotOwner(0, 0, 0)
        self.left = left
        """A connection of a dead process that may go on at the server, in the same place."""


class Share:
    """Takes and gives back the host's slots for one pool.

    Args:
        describe: tells what the pool has and has counted.
    """

    def __init__(self, terms: Terms, describe: Callable[[], Record]):
        self.terms = terms
        self._describe = describe
        self._file: LedgerFile | None = None
        self._bell: Bell | None = None
        self._begin()

    def _begin(self) -> None:
        self.seats: set[Seat] = set()
        self.claimed: set[Seat] = set()
        """Slots that dead processes have left, while this pool asks whether they are free."""
        self.most = self.terms.static_conns
        """The bound of the pool at this moment."""
        self.problem: str | None = None
        """Why the ledger is not used, in words."""
        self.has_met_left = False
        """Whether a slot was passed over because a dead process may still have a connection in it.
        """
        self.is_heard = False
        """Whether somebody listens to the bell, and gives up what others need."""
        self._record = -1
        self._tried_at = self._looked_at = self._found_none_at = float("-inf")
        self._told_short = False
        self._short: list[int] = []
        self._left_since: dict[tuple[int, int], float] = {}

    def forget(self) -> None:
        """Let go of everything: in the child of a fork, where all of it is the parent's, and at
        the end of the pool."""
        self._let_go()
        self._begin()

    def _let_go(self) -> None:
        file, bell, self._file, self._bell = self._file, self._bell, None, None
        if file is not None:
            file.close()
        if bell is not None:
            bell.close()

    @property
    def bell(self) -> Bell | None:
        """To wait at, if there is one."""
        return self._bell

    # -- joining and leaving -----------------------------------------------------------------

    def join(self, moment: float) -> bool:
        """Whether there is a ledger that can be used; it is opened if it was not.

        Where it was deleted or replaced, the new one is joined, with all seats.
        """
        if self._file is not None:
            if self._file.is_current():
                return True
        elif moment - self._tried_at < TRY_EVERY:
            return False
        self._tried_at = moment
        file = None
        try:
            file = LedgerFile(self.terms.path)
            if self._file is not None:
                file.wait_for_movers()
            record = file.take_record()
        except Unusable as error:
            if file is not None:
                file.close()
            self._let_go()
            self._do_without(str(error))
            return False
        # The old file is kept until then: others open nothing in the new one as long as it is.
        self.claimed.clear()
        self._sit_down(file, record, self.seats)
        self._let_go()
        self._file, self._record = file, record
        file.is_ready()
        try:
            self._bell = Bell(self.terms.path, self._record)
        except OSError as error:
            logger.warning("%s: nobody can wake this pool: %s", self.terms.path, error)
        if self.problem is not None:
            logger.warning("%s: the ledger is used from now on", self.terms.path)
        self.problem = None
        self.look(moment, at_once=True)
        return True

    def _sit_down(self, file: LedgerFile, record: int, seats: Collection[Seat]) -> None:
        """Slots of this file for connections that there are already, as far as there are any."""
        taken = {one.number for one in (self.seats | self.claimed).difference(seats)}
        for seat in seats:
            first = [] if seat.number is None else [seat.number]
            seat.number = None
            for number in (*first, *range(self.terms.host_conns)):
                if number not in taken and file.lock_slot(number):
                    seat.number = number
                    taken.add(number)
                    self._write_seat(seat, file, record)
                    break

    def _do_without(self, why: str) -> None:
        if self.problem != why:
            self.problem = why
            logger.warning(
                "%s: the ledger of this host's connections cannot be used: %s. This pool opens at "
                "most %d connections (STATIC_CONNS) until it can.",
                self.terms.path,
                why,
                self.terms.static_conns,
            )
        for seat in self.seats:
            seat.number = None
        self.claimed.clear()
        self.most = self.terms.static_conns

    # -- seats -----------------------------------------------------------------------------

    def take(self, moment: float) -> Seat | None:
        """A seat for one more connection, or None: there is none now."""
        if not self.join(moment):
            if len(self.seats) >= self.most:
                return None
            seat = Seat(None)
            self.seats.add(seat)
            return seat
        if len(self.seats) >= self.most:
            self.look(moment)
        found = None
        if len(self.seats) < self.most and moment - self._found_none_at >= LOOK_EVERY:
            found = self._find(moment)
            self._found_none_at = moment if found is None else float("-inf")
        if found is None:
            self.look(moment)
            return None
        self._write_seat(found)
        self.seats.add(found)
        return found

    def admit(self) -> Seat:
        """A seat for a connection that was opened before anybody counted."""
        seat = Seat(None)
        self.seats.add(seat)
        self._tried_at = float("-inf")
        return seat

    def _find(self, moment: float) -> Seat | None:
        file = self._file
        assert file is not None
        if not file.is_ready():
            return None
        mine = {seat.number for seat in self.seats | self.claimed}
        others = []
        for number, owner in enumerate(file.read_slots(self.terms.host_conns)):
            if number in mine:
                continue
            if owner.record or owner.number:
                others.append((number, owner))
            elif file.lock_slot(number):
                return Seat(number)
        left = [(n, owner) for n, owner in others if not file.slot_is_locked(n)]
        self.has_met_left = bool(left)
        self._left_since = {
            key: self._left_since.get(key, moment) for key in ((n, o.number) for n, o in left)
        }
        if self.seats:
            return None  # there is somebody to ask about them, or will be: see `claim_left`
        for number, owner in left:
            waited = moment - self._left_since[number, owner.number]
            if waited >= LEFT_ALONE and file.may_try() and file.lock_slot(number):
                return Seat(number, owner)
        return None

    def _end_try(self) -> None:
        if self._file is not None and not any(seat.left for seat in self.seats):
            self._file.end_try()

    def claim_left(self) -> None:
        """Put into ``claimed`` what dead processes have left, to be given back with `give_back`
        when their connections have ended."""
        file = self._file
        self.has_met_left = False
        if file is None or not file.is_ready():  # they may be of the living, who have yet to move
            return
        mine = {seat.number for seat in self.seats | self.claimed}
        for number, owner in enumerate(file.read_slots(self.terms.host_conns)):
            if (owner.record or owner.number) and number not in mine and file.lock_slot(number):
                self.claimed.add(Seat(number, owner))

    def opened(self, seat: Seat, number: int | None, server: str | None) -> None:
        """There is a connection in this seat, with this number at this server."""
        seat.connection = SlotOwner(0, number or 0, identify(server))
        self._write_seat(seat)
        if not self.is_heard:  # nobody writes the record now and then
            self.tell()

    def _write_seat(
        self, seat: Seat, file: LedgerFile | None = None, record: int | None = None
    ) -> None:
        file = file or self._file
        if file is None or seat.number is None:
            return
        connection = seat.left or seat.connection
        record = self._record if record is None else record
        file.write_slot(seat.number, SlotOwner(record + 1, connection.number, connection.server))

    def give_back(self, seat: Seat, *, certain: bool = True) -> None:
        """The seat is free. Not ``certain``: its connection may still be at the server; whoever
        takes the slot next has to ask."""
        if seat not in self.seats and seat not in self.claimed:
            return  # of a file that is used no more: its number may be another seat's by now
        if seat in self.seats and seat.left is not None:
            certain = False  # what ended is not what the dead process has left
        self.seats.discard(seat)
        self.claimed.discard(seat)
        number, seat.number = seat.number, None
        self._found_none_at = float("-inf")
        if self._file is None or number is None:
            return
        if certain:
            self._file.write_slot(number, None)
        self._file.unlock_slot(number)
        if seat.left is not None:
            self._end_try()
        if not self.is_heard:
            self.tell()
        self._ring(self._short)

    def left_is_gone(self, seat: Seat) -> None:
        """The dead process's connection in this seat has ended."""
        seat.left = None
        self._write_seat(seat)
        self._end_try()

    def keep_only(self, seats: Collection[Seat]) -> None:
        """Give back what was taken and is not among ``seats``: an exception of a signal handler
        struck between two steps. Whoever takes it next has to ask: nobody knows how far it was."""
        for seat in self.seats.difference(seats):
            self.give_back(seat, certain=False)
        self._end_try()
        if self._file is not None:
            mine = self.seats | self.claimed
            self._file.keep_slots({seat.number for seat in mine if seat.number is not None})

    # -- the others ------------------------------------------------------------------------

    def look(self, moment: float, *, at_once: bool = False) -> None:
        """See what the others have and want, and what this pool may have; tell of it too.

        Not more often than every `LOOK_EVERY` seconds, unless ``at_once``.
        """
        file = self._file
        # Who begins to want more says so at once; after that the others know.
        every = LOOK_EVERY if self._told_short else LOOK_EVERY / 20
        if file is None or (moment - self._looked_at < every and not at_once):
            return
        self._looked_at = moment
        if at_once:
            self._found_none_at = float("-inf")
        standing = [seat for seat in self.seats if seat.number is None]
        if standing:
            self._sit_down(file, self._record, standing)
        me = self._describe()
        others = {
            number: record
            for number, (record, lives) in file.read_records(but=self._record).items()
            if lives
        }
        claims = [_claim(me), *map(_claim, others.values())]
        total = self.terms.host_conns
        self.most = most(total, claims, 0)
        if self._bell is None or not self.is_heard:
            self.most = min(self.most, self.terms.guaranteed)  # it could not be asked to give up
        file.write_record(self._record, self._describe())  # with the bound of now
        due = shares(total, claims)
        self._told_short = claims[0].is_short
        self._short = [
            number
            for number, claim, share in zip(others, claims[1:], due[1:], strict=True)
            if claim.is_short and claim.open < share
        ]
        if claims[0].is_short and claims[0].open < due[0]:
            gives = to_give_up(total, claims)[1:]
            self._ring([number for number, give in zip(others, gives, strict=True) if give])

    def tell(self) -> None:
        """Write this pool's record."""
        if self._file is not None:
            self._file.write_record(self._record, self._describe())

    def _ring(self, numbers: list[int]) -> None:
        if self._bell is not None:
            for number in numbers:
                self._bell.ring(number)


def _claim(record: Record) -> Claim:
    return Claim(record.guaranteed, record.open, record.wanted)


def identify(server: str | None) -> int:
    """A number for a server's identity; 0 if it is not known."""
    if not server:
        return 0
    return int.from_bytes(hashlib.blake2b(server.encode(), digest_size=8).digest(), "little")
