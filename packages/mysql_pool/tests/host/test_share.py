"""A pool's part of its host, with a real ledger and other pools in the same process. No server."""

import os
import time
from dataclasses import replace

import pytest

from mysql_pool import hosting
from mysql_pool.ledger import share as share_module
from mysql_pool.ledger.file import LedgerFile, SlotOwner
from mysql_pool.ledger.reading import read_host
from mysql_pool.ledger.record import Record
from mysql_pool.ledger.share import LEFT_ALONE, LOOK_EVERY, Share, Terms
from packages.mysql_pool.tests.alone import Scene, eventually
from packages.mysql_pool.tests.test_every_instruction import SoftLimitError, interrupted

CONNS = 4


@pytest.fixture
def terms(ledger):
    return Terms(path=str(ledger), host_conns=CONNS, guaranteed=1, static_conns=2, role="")


@pytest.fixture
def neighbour(terms):
    """``neighbour(waiting=3)``: a pool with all of its connections in use, that wants 3 more."""
    shares = []

    def make(**counted):
        counted = Record(pid=1, guaranteed=1, **counted)
        share = Share(terms, lambda: replace(share.counted, **connections()))

        def connections():
            return {"open": len(share.seats), "in_use": len(share.seats)}

        share.counted, share.is_heard = counted, True
        shares.append(share)
        return share

    yield make
    for share in shares:
        share.forget()


@pytest.fixture
def pool(terms):
    """``pool()`` is a `Scene` whose pool is one of the host's."""
    scenes = []

    def make(**options):
        scenes.append(Scene(max_conns=CONNS, reuse_conns=CONNS, host=terms, **options))
        return scenes[-1]

    yield make
    for one in scenes:
        one.end()
        one.pool.inventory.share.forget()


def fill(share, number=CONNS, moment=0.0):
    """Let ``share`` have so many connections."""
    seats = [share.take(moment) for _ in range(number)]
    assert None not in seats
    for number, seat in enumerate(seats):
        share.opened(seat, number + 100, "server")
    return seats


def locked(terms):
    """The slots that anybody has."""
    file = LedgerFile(terms.path)
    try:
        return {number for number in range(CONNS + 2) if file.slot_is_locked(number)}
    finally:
        file.close()


# -- seats -----------------------------------------------------------------------------------------


def test_a_slot_that_is_given_back_is_anothers(neighbour):
    one, two = neighbour(), neighbour(waiting=1)
    seats = fill(one)
    assert two.take(0) is None
    one.give_back(seats[2])
    assert two.take(LOOK_EVERY).number == 2


def test_a_want_that_begins_is_told_at_once(neighbour, terms):
    """Else those who have too much give nothing up before the next look, 250 ms later."""
    one = neighbour()
    one.join(0)
    assert read_host(terms.path).living[0].waiting == 0
    one.counted = replace(one.counted, waiting=3)
    one.look(LOOK_EVERY / 10)
    assert read_host(terms.path).living[0].waiting == 3


def test_a_pool_that_nobody_can_wake_tells_of_each_connection(neighbour, terms):
    one = neighbour()
    one.is_heard = False
    (seat,) = fill(one, 1)
    assert read_host(terms.path).living[0].open == 1
    one.give_back(seat)
    assert read_host(terms.path).living[0].open == 0


def test_those_who_stand_sit_down_when_there_is_a_slot(neighbour, terms):
    """A connection that was opened without a ledger, where the others have all slots by now."""
    one, two = neighbour(), neighbour()
    seats = fill(one)
    two.admit()
    assert two.join(0)
    assert {seat.number for seat in two.seats} == {None}
    one.give_back(seats[2])
    two.look(1)
    assert {seat.number for seat in two.seats} == {2}
    assert locked(terms) == set(range(CONNS))


def test_one_slot_of_a_dead_process_is_tried_at_a_time(neighbour, terms):
    """Where nobody has a connection to ask over: each try may be one connection too many."""
    one, two = neighbour(waiting=3), neighbour(waiting=3)
    assert one.join(0)
    assert two.join(0)
    leave(terms, *range(CONNS))
    assert one.take(0) is two.take(0) is None
    tried = one.take(LEFT_ALONE)
    assert tried.left.number == 900
    assert one.take(LEFT_ALONE + 1) is two.take(LEFT_ALONE + 1) is None
    one.give_back(tried)  # the server has refused it
    assert two.take(LEFT_ALONE + 2).left is not None
    file = LedgerFile(terms.path)
    assert file.read_slots(1)[0].number == 900
    file.close()


# -- a file that was deleted -----------------------------------------------------------------------


def test_nobody_takes_a_slot_while_its_owner_moves_to_a_new_file(neighbour, ledger, monkeypatch):
    one, two = neighbour(), neighbour(waiting=1)
    fill(one)
    ledger.unlink()
    taken = []

    def bell(*args):
        if not taken:
            taken.append(None)
            taken.append(two.take(2))
        raise OSError

    monkeypatch.setattr(share_module, "Bell", bell)
    assert two.join(0)  # it makes the new file, and waits for the users of the old one
    taken.clear()
    assert one.join(1)
    assert taken == [None, None]
    assert {seat.number for seat in one.seats} == set(range(CONNS))


# -- exceptions of signal handlers -----------------------------------------------------------------


def everywhere(prepare, check):
    """Call what ``prepare()`` returns again and again, each time interrupted at another place."""
    for number in range(1, 3000):
        function = prepare()
        place = interrupted(function, number, SoftLimitError())
        check(f"interrupted in {place}")
        if place is None:
            assert number > 10, "nothing was interrupted"
            return


# What was half-made is closed by its __del__, some of which is interrupted as well.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("joined", [False, True])
def test_no_slot_is_lost_while_it_is_taken(neighbour, terms, joined):
    one = neighbour()

    def prepare():
        if joined:
            one.join(0)
        one.is_heard = True
        return lambda: one.take(0)

    def check(where):
        one.keep_only(set())
        assert locked(terms) == set(), where
        one.forget()

    everywhere(prepare, check)


def test_no_slot_is_lost_while_it_is_given_back(neighbour, terms):
    one = neighbour()

    def prepare():
        if os.path.exists(terms.path):
            os.truncate(terms.path, 0)  # nothing is left of the last one
        one.is_heard = True
        (seat,) = fill(one, 1)
        return lambda: one.give_back(seat)

    def check(where):
        one.keep_only(set())
        assert locked(terms) == set(), where
        one.forget()

    everywhere(prepare, check)


def leave(terms, *numbers):
    """Slots as a killed process leaves them."""
    file = LedgerFile(terms.path)
    for number in numbers:
        file.write_slot(number, SlotOwner(9, 900 + number, share_module.identify("server")))
    file.close()


def test_no_slot_is_lost_while_those_of_dead_processes_are_claimed(neighbour, terms):
    one = neighbour()
    one.join(0)
    leave(terms, 1, 2)

    def check(where):
        for seat in list(one.claimed):
            one.give_back(seat, certain=False)
        one.keep_only(set())
        assert locked(terms) == set(), where

    everywhere(lambda: one.claim_left, check)


def test_a_slot_that_was_lost_is_asked_about(neighbour, terms):
    """Nobody knows how far an interrupted one was: its connection may be at the server."""
    one = neighbour()
    fill(one, 1)
    one.keep_only(set())
    file = LedgerFile(terms.path)
    assert file.read_slots(1)[0].number == 100
    file.close()


def test_nothing_is_claimed_while_others_move(neighbour, terms):
    """A copy that is put in the file's place names connections of the living, and nobody has locked
    their slots in it yet."""
    one, two = neighbour(), neighbour()
    fill(two, 1)
    one.join(0)
    copy = f"{terms.path}.copy"
    with open(terms.path, "rb") as file, open(copy, "wb") as put:
        put.write(file.read())
    os.replace(copy, terms.path)
    one.join(1)
    one.claim_left()
    assert one.claimed == set()
    assert one.take(1) is None
    two.join(1)
    one.claim_left()
    assert one.claimed == set()
    assert one.take(2) is not None


def test_no_slot_of_a_child_is_freed_by_what_its_parent_has_begun(neighbour, terms):
    """A greenlet that asks about dead processes goes on in the child of a fork."""
    one = neighbour()
    one.join(0)
    leave(terms, 0)
    one.claim_left()
    (seat,) = one.claimed
    one.forget()
    os.truncate(terms.path, 0)
    assert one.take(1).number == seat.number
    one.give_back(seat, certain=False)
    assert locked(terms) == {0}


# -- the listener ----------------------------------------------------------------------------------


def test_a_pool_that_has_nothing_any_more_says_so(pool, terms, monkeypatch):
    """Its record stays. If it said that somebody waits, the others would leave room for ever."""
    see = hosting.HostTasks.see

    def see_and_lose_all(host):
        see(host)
        one.pool.close()
        eventually(lambda: not one.pool.inventory.slots)

    monkeypatch.setattr(hosting.HostTasks, "see", see_and_lose_all)
    one = pool()
    one.waiter(then=lambda session: None)
    eventually(lambda: one.pool.checkouts == 1)
    eventually(lambda: not one.pool.inventory.slots)
    eventually(lambda: one.pool._host_tasks._listening is None)
    (record,) = read_host(terms.path).living
    assert (record.open, record.wanted) == (0, 0)


def test_a_listener_that_was_interrupted_begins_anew(pool, monkeypatch):
    see, struck = hosting.HostTasks.see, []

    def strike(host):
        if not struck:
            struck.append(True)
            raise SoftLimitError
        see(host)

    monkeypatch.setattr(hosting.HostTasks, "see", strike)
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    one = pool()
    one.server.greets.clear()
    outcome = one.waiter(then=lambda session: None)
    eventually(lambda: struck)
    eventually(lambda: one.pool.inventory.share.is_heard)
    assert one.pool.inventory.waiters
    one.server.greets.set()
    assert outcome.done.wait(20)
    assert outcome.error is None


# -- what it costs ---------------------------------------------------------------------------------


def test_a_checkout_makes_no_system_call_more(pool, monkeypatch):
    one = pool()
    outcome = one.waiter(then=lambda session: None)  # opens one, in a thread of its own
    assert outcome.done.wait(20)
    called = []
    monkeypatch.setattr(Share, "join", lambda *args: called.append("join"))
    monkeypatch.setattr(Share, "look", lambda *args, **options: called.append("look"))
    monkeypatch.setattr(Share, "take", lambda *args: called.append("take"))
    monkeypatch.setattr(hosting.HostTasks, "see", lambda host: time.sleep(0.01))
    for _ in range(100):
        session = one.session()
        session.checkout()
        session.close()
    assert one.pool.checkouts == 101
    assert called == []
