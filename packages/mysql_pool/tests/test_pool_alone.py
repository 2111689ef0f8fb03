"""The pool, its queue and the session with a server that is a few lines of Python (fake.py).

What needs a real server is in behaviour/. Here everything happens in order or waits for an event,
so it can be said exactly: also what is left when an exception strikes at any instruction.
"""

import dis
import gc
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from types import SimpleNamespace

import pytest

from mysql_pool import answers, closing, opening, watching
from mysql_pool import specs as specs_module
from mysql_pool.drivers.contract import Driver, PhysicalConnection
from mysql_pool.errors import PoolTimeout, TooManyWaiting
from mysql_pool.holder import Spec
from mysql_pool.limits import Limits
from mysql_pool.pool import Pool
from mysql_pool.session import Session
from packages.mysql_pool.tests import fake


def eventually(condition, seconds=20):
    """Wait for another thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.001)


class Scene:
    """A pool on a server, and threads that use it."""

    def __init__(self, **options):
        self.server = fake.Server()
        self.driver = fake.Driver(self.server)
        self.options = {
            "max_conns": 2,
            "reuse_conns": 2,
            "timeout": 30,
            "max_waiting": 1000,
            "max_idle": 60,
            "max_age": None,
        }
        self.pool = Pool(
            name="default",
            kill=lambda connection, number: connection.run(f"KILL {number}"),
            is_refusal=answers.is_refusal,
            operational_error=fake.OperationalError,
            limits=Limits(**self.options | options),
        )
        self.spec = self.new_spec("default")
        self.threads = []

    def new_spec(self, key):
        return self.pool.specs.find({"name": key}, lambda: Spec(self.driver.connect))

    def session(self, spec=None, **options):
        options = {"per_request": False, **options}
        return Session(self.pool, spec or self.spec, self.driver, **options)

    def holder(self, spec=None):
        """A session that holds a connection."""
        session = self.session(spec, per_request=True)
        session.checkout()
        return session

    def waiter(self, then=None, spec=None, **options):
        """A thread that wants a connection; returns the future outcome once it is in the queue."""
        outcome = SimpleNamespace(session=None, error=None, done=threading.Event())
        before = len(self.pool.inventory.waiters)

        def wait():
            session = self.session(spec, **options)
            try:
                session.checkout()
                outcome.session = session
                if then is not None:
                    then(session)
            except BaseException as error:
                outcome.error = error
            finally:
                if then is not None:
                    session.close()
                outcome.done.set()

        thread = threading.Thread(target=wait, daemon=True)
        self.threads.append(thread)
        thread.start()
        eventually(lambda: len(self.pool.inventory.waiters) > before or outcome.done.is_set())
        return outcome

    def settled(self):
        """Every slot is an idle connection, and the server has no other."""
        idle = list(self.pool.inventory.idle)
        return (
            not self.pool.inventory.waiters
            and set(idle) == self.pool.inventory.slots
            and {slot.connection for slot in idle} == self.server.connections
        )

    def end(self):
        self.server.refusal = None
        self.server.greets.set()
        for thread in self.threads:
            thread.join(30)
        self.server.end_what_was_closed()
        self.pool.close()
        eventually(lambda: not any(slot.state == "closing" for slot in self.pool.inventory.slots))
        self.server.close()


@pytest.fixture
def scene(monkeypatch):
    """``scene(max_conns=...)``"""
    monkeypatch.setattr(closing, "SETTLE", 0)
    scenes = []

    def make(**options):
        scenes.append(Scene(**options))
        return scenes[-1]

    yield make
    for one in scenes:
        one.end()


# -- the contract ----------------------------------------------------------------------------


def members(protocol):
    """What a class that keeps the protocol has to have."""
    names = {*vars(protocol), *protocol.__annotations__}
    return sorted(name for name in names if not name.startswith("_") or name == "__init__")


def names_of(protocol):
    return [name for name in members(protocol) if name != "__init__"]


def test_the_fake_keeps_the_contract():
    assert len(names_of(PhysicalConnection)) > 20
    assert [n for n in names_of(PhysicalConnection) if not hasattr(fake.Connection, n)] == []
    assert [n for n in names_of(Driver) if not hasattr(fake.Driver, n)] == []


@pytest.mark.parametrize("name", ["pymysql", "mysqlclient"])
def test_the_drivers_keep_the_contract(name):
    # In a process of its own: there is one MySQLdb in each.
    if name == "mysqlclient" and find_spec("MySQLdb") is None:
        pytest.fail("mysqlclient is not installed: `make test` installs it (bootstrap.sh)")
    program = f"""
from mysql_pool import drivers
driver = drivers.load({name!r})
print([n for n in {names_of(Driver)!r} if not hasattr(driver, n)])
print([n for n in {names_of(PhysicalConnection)!r} if not hasattr(driver.Connection, n)])
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["[]", "[]"]


# -- the queue -------------------------------------------------------------------------------


def test_who_waits_longest_is_served_first(scene):
    one = scene(max_conns=1)
    first, served = one.holder(), []
    for number in range(10):
        one.waiter(lambda session, number=number: served.append(number))
    first.release()
    eventually(lambda: len(served) == 10)
    assert served == list(range(10))
    assert one.server.most == 1


def test_what_makes_a_connection_free_goes_to_the_head_of_the_queue(scene):
    one = scene(max_conns=1)
    first, served = one.holder(), []
    one.waiter(lambda session: served.append("first"))
    helper = closing.Helper()

    def urgent():
        one.pool.checkout(helper, one.spec, urgent=True)
        served.append("urgent")
        connection, helper.held = helper.held, None
        one.pool.release(connection, helper.reference)

    thread = threading.Thread(target=urgent)
    thread.start()
    eventually(lambda: len(one.pool.inventory.waiters) == 2)
    first.release()
    thread.join()
    eventually(lambda: len(served) == 2)
    assert served == ["urgent", "first"]


def test_a_crowd_opens_no_more_than_the_bound_and_everybody_is_served(scene):
    one = scene(max_conns=3, reuse_conns=1)
    outcomes = [one.waiter(lambda session: session.cursor().execute("SELECT 1")) for _ in range(60)]
    for outcome in outcomes:
        assert outcome.done.wait(30)
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert one.server.most <= 3
    eventually(one.settled)


def test_a_full_pool_is_a_timeout_that_is_the_drivers_error_too(scene):
    one = scene(max_conns=1, timeout=0.05)
    first = one.holder()
    begun = time.monotonic()
    with pytest.raises(PoolTimeout, match="1 of 1 are in use") as raised:
        one.session().checkout()
    assert time.monotonic() - begun >= 0.05
    assert isinstance(raised.value, fake.OperationalError)
    assert one.pool.stats()["timeouts"] == 1
    first.release()
    assert one.settled()


def test_one_too_many_in_the_queue_is_refused_at_once(scene):
    one = scene(max_conns=1, max_waiting=1)
    first = one.holder()
    waiting = one.waiter(lambda session: None)
    with pytest.raises(TooManyWaiting, match="1 requests wait"):
        one.session().checkout()
    first.release()
    assert waiting.done.wait(30)
    assert waiting.error is None


def test_many_timeouts_are_one_record(scene, caplog):
    one = scene(max_conns=1, timeout=0.05)
    first = one.holder()
    outcomes = [one.waiter(lambda session: None) for _ in range(30)]
    for outcome in outcomes:
        assert outcome.done.wait(30)
    assert all(isinstance(outcome.error, PoolTimeout) for outcome in outcomes)
    told = [line for line in caplog.messages if "No connection from the pool" in line]
    assert 1 <= len(told) < 30  # one for each second
    assert "longest" in told[0]
    first.release()


# -- the server refuses ----------------------------------------------------------------------


def refused(number=1040):
    return fake.OperationalError(number, "not now")


def test_a_refusal_is_waited_out_by_one_connector_with_growing_pauses(scene, monkeypatch):
    monkeypatch.setattr(opening, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(opening, "LONGEST_PAUSE", 0.08)
    one = scene(max_conns=5)
    one.server.refusal = refused()
    outcomes = [one.waiter(lambda session: None)]
    eventually(lambda: len(one.server.asked) >= 1)
    one.server.most_asking = 0
    outcomes += [one.waiter(lambda session: None) for _ in range(10)]
    eventually(lambda: len(one.server.asked) >= 6)
    assert one.server.most_asking == 1
    one.server.refusal = None
    for outcome in outcomes:
        assert outcome.done.wait(30)
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    asked = one.server.asked
    pauses = [after - before for before, after in pairwise(asked[:6])]
    least = [0.01, 0.02, 0.04, 0.04, 0.04]  # half of 0.02, 0.04, 0.08, ...: the rest is jitter
    assert [pause >= bound for pause, bound in zip(pauses, least, strict=True)] == [True] * 5
    assert one.pool.stats()["connect_errors"] >= 6


def test_a_refusal_that_does_not_end_is_a_timeout_that_names_it(scene):
    one = scene(timeout=0.2)
    one.server.refusal = refused(1203)
    with pytest.raises(PoolTimeout, match="1203"):
        one.session().checkout()
    assert one.pool.stats()["waiting"] == 0


def test_a_server_that_refuses_is_not_hammered_by_those_who_come_later(scene):
    one = scene(max_conns=5, timeout=0.2)
    one.server.refusal = refused(2003)
    for _ in range(3):
        outcomes = [one.waiter(lambda session: None) for _ in range(20)]
        for outcome in outcomes:
            assert outcome.done.wait(30)
    assert len(one.server.asked) < 60 / 2


def test_a_connection_that_comes_free_serves_while_the_server_refuses(scene):
    one = scene(max_conns=2)
    first = one.holder()
    one.server.refusal = refused()
    waiting = one.waiter(lambda session: None)
    eventually(lambda: len(one.server.asked) >= 3)
    first.release()
    assert waiting.done.wait(30)
    assert waiting.error is None


def test_another_error_goes_to_one_waiter_and_the_others_go_on(scene):
    one = scene(max_conns=1)
    one.server.greets.clear()
    outcomes = [one.waiter(lambda session: None) for _ in range(3)]
    wrong = fake.OperationalError(1045, "Access denied")
    one.server.errors.append(wrong)
    one.server.greets.set()
    for outcome in outcomes:
        assert outcome.done.wait(30)
    assert [outcome.error for outcome in outcomes] == [wrong, None, None]


def test_an_error_of_other_parameters_goes_to_who_has_them(scene):
    one = scene(max_conns=2)
    other = one.new_spec("other")
    one.server.greets.clear()
    mine = one.waiter(lambda session: None)
    theirs = one.waiter(lambda session: None, spec=other)
    eventually(lambda: one.server.asking == 2)
    one.server.errors.append(fake.OperationalError(1049, "Unknown database"))
    one.server.greets.set()
    for outcome in (mine, theirs):
        assert outcome.done.wait(30)
    assert sum(outcome.error is not None for outcome in (mine, theirs)) == 1


# -- what comes out of the pool --------------------------------------------------------------


@pytest.mark.parametrize("reason", ["age", "idle", "lost"])
def test_what_is_too_old_or_gone_is_not_handed_out(scene, reason):
    one = scene()
    session = one.holder()
    old = session.held
    session.release()
    if reason == "age":
        old.expires_at = time.monotonic()
    elif reason == "idle":
        old.idle_since -= one.pool.inventory.limits.max_idle
    else:
        one.server.end(old)
    assert one.holder().held is not old
    assert old.is_closed
    assert one.pool.stats()["closed"] == {reason: 1}


def test_the_connection_that_came_back_last_goes_out_first(scene):
    one = scene(max_conns=3, reuse_conns=3)
    sessions = [one.holder() for _ in range(3)]
    last = sessions[1].held
    for session in (sessions[0], sessions[2], sessions[1]):
        session.release()
    assert one.holder().held is last


def test_what_is_not_kept_is_closed(scene):
    one = scene(max_conns=2, reuse_conns=0)
    one.holder().release()
    eventually(lambda: one.pool.stats()["open"] == 0)
    assert one.server.connections == set()
    assert one.pool.stats()["closed"] == {"surplus": 1}


def test_a_slot_is_free_when_the_server_has_closed_and_not_before(scene):
    one = scene(max_conns=1)
    one.server.lets_go = False
    session = one.holder()
    session.held.expires_at = 0
    session.release()
    waiting = one.waiter(lambda session: None)
    assert one.pool.stats()["closing"] == 1
    assert len(one.server.asked) == 1
    one.server.end_what_was_closed()
    assert waiting.done.wait(30)
    assert waiting.error is None
    assert one.server.most == 1


def test_one_slot_that_comes_free_is_taken_once_though_many_wait(scene):
    one = scene(max_conns=3)
    holders = [one.holder() for _ in range(3)]
    outcomes = [one.waiter(lambda session: None) for _ in range(5)]
    holders[0].held.expires_at = 0
    holders[0].release()
    for outcome in outcomes:
        assert outcome.done.wait(30)
    assert one.server.most == 3
    assert len(one.server.asked) == 4


def test_connections_of_different_parameters_share_the_bound(scene):
    one = scene(max_conns=2)
    first, second = one.holder(), one.holder()
    first.release()
    second.release()
    other = one.new_spec("other")
    holder = one.holder(other)
    assert holder.held.slot.spec is other
    assert one.server.most == 2
    holder.release()
    assert one.pool.stats()["closed"] == {"other parameters": 1}
    assert one.holder(other).held is not None
    assert len(one.server.asked) == 3


def test_a_connection_that_comes_back_makes_room_for_other_parameters(scene):
    one = scene(max_conns=1)
    first = one.holder()
    waiting = one.waiter(lambda session: None, spec=one.new_spec("other"))
    first.release()
    assert waiting.done.wait(30)
    assert waiting.error is None
    assert one.server.most == 1


def test_parameters_without_a_connection_are_forgotten(scene, monkeypatch):
    monkeypatch.setattr(specs_module, "KNOWN_SPECS", 10)
    one = scene(max_conns=1)
    one.holder()
    for number in range(100):
        one.new_spec(number)
    assert len(one.pool.specs) <= 10
    assert one.new_spec("default") is one.spec


def test_the_wrong_server_is_left_by_all(scene):
    one = scene(max_conns=4, reuse_conns=4)
    sessions = [one.holder() for _ in range(4)]
    sessions[3].held.server = "another"
    used, idle = sessions[0].held, [session.held for session in sessions[1:]]
    for session in sessions[1:]:
        session.release()
    one.pool.distrust("one")
    assert [connection.is_closed for connection in idle] == [True, True, False]
    assert not used.is_closed
    sessions[0].release()
    assert used.is_closed
    assert one.pool.stats()["closed"] == {"wrong server": 2, "age": 1}


def test_the_wrong_server_is_left_once_a_second_and_not_for_each_answer(scene):
    one = scene()
    one.pool.distrust("one")
    session = one.holder()
    kept = session.held
    session.release()
    one.pool.distrust("one")  # just now: the address leads there still
    assert one.holder().held is kept


def test_an_answer_of_the_wrong_server_expires_its_connection(scene):
    one = scene()
    session = one.session()
    with pytest.raises(fake.OperationalError):
        session.cursor().execute("SELECT FAIL 1836")
    eventually(lambda: one.pool.stats()["open"] == 0)
    with suppress(fake.OperationalError):
        session.cursor().execute("SELECT FAIL 1062")
    assert one.pool.stats()["idle"] == 1


def test_close_closes_what_is_idle_now_and_the_others_when_they_come_back(scene):
    one = scene()
    first, second = one.holder(), one.holder()
    used = first.held
    second.release()
    one.pool.close()
    eventually(lambda: one.server.connections == {used})
    first.cursor().execute("SELECT 1")
    first.release()
    eventually(lambda: one.pool.stats()["open"] == 0)
    assert one.holder().held is not None


def test_a_connection_that_was_being_opened_during_close_is_closed_too(scene):
    one = scene()
    one.server.greets.clear()
    waiting = one.waiter(lambda session: None)
    eventually(lambda: one.server.asking == 1)
    one.pool.close()
    one.server.greets.set()
    assert waiting.done.wait(30)
    assert waiting.error is None
    eventually(one.settled)
    assert len(one.server.asked) == 2
    assert one.pool.stats()["closed"] == {"age": 1}


# -- what was lost ---------------------------------------------------------------------------


def much_later():
    return time.monotonic() + 10


def test_the_connection_of_a_session_that_was_dropped_comes_back(scene):
    one = scene(max_conns=1)
    session = one.holder()
    del session
    gc.collect()
    one.pool.watcher.reconcile(much_later())
    eventually(lambda: one.pool.stats()["open"] == 0)
    assert one.pool.stats()["closed"] == {"leaked": 1}
    assert one.holder().held is not None


@pytest.mark.parametrize("clean", [True, False])
def test_a_connection_lost_on_its_way_back_is_used_again_only_if_it_is_clean(scene, clean):
    one = scene(max_conns=1)
    session = one.holder()
    connection = session.held
    assert not connection.clean  # somebody may have done anything with it
    connection.clean = clean
    session.held = None  # here an exception struck
    one.pool.watcher.reconcile(much_later())
    eventually(one.settled)
    assert connection.is_closed is not clean
    assert one.pool.stats()["open"] == clean


def test_the_connection_of_a_thread_that_has_ended_comes_back(scene, caplog):
    one = scene(max_conns=1)
    outcome = one.waiter()
    assert outcome.done.wait(30)
    one.threads[-1].join()
    assert one.pool.stats()["in_use"] == 1
    one.pool.watcher.reconcile(much_later())
    eventually(lambda: one.pool.stats()["open"] == 0)
    assert outcome.session.held is None
    assert "1 greenlets or threads ended and kept their connections" in caplog.text


def test_who_waits_gets_the_connection_of_a_thread_that_has_ended(scene, monkeypatch):
    monkeypatch.setattr(watching, "WATCH_EVERY", 0.02)
    one = scene(max_conns=1)
    assert one.waiter().done.wait(30)
    one.threads[-1].join()
    waiting = one.waiter(lambda session: None)
    assert waiting.done.wait(30)
    assert waiting.error is None


def test_one_thread_looks_for_all_that_wait(scene, monkeypatch):
    begun = []
    real = watching.in_background
    monkeypatch.setattr(
        watching, "in_background", lambda function: (begun.append(function), real(function))
    )
    one = scene(max_conns=1)
    first = one.holder()
    outcomes = [one.waiter(lambda session: None) for _ in range(20)]
    first.release()
    for outcome in outcomes:
        assert outcome.done.wait(30)
    assert [function.__name__ for function in begun].count("_watch_waiters") == 1


def cannot_start(*args):
    raise RuntimeError("can't start new thread")


def test_a_connection_is_closed_later_if_no_thread_can_be_started_now(scene, monkeypatch):
    one = scene(max_conns=1, reuse_conns=0)
    session = one.holder()
    with monkeypatch.context() as without:
        without.setattr(closing, "in_background", cannot_start)
        session.release()  # no error: its statement was done
        assert one.pool.stats()["closing"] == 1
    one.pool.watcher.reconcile(much_later())
    eventually(lambda: one.pool.stats()["open"] == 0)
    assert one.holder().held is not None


def test_a_connection_is_opened_here_if_no_thread_can_be_started(scene, monkeypatch):
    one = scene(max_conns=1)
    with monkeypatch.context() as without:
        for module in (opening, closing, watching):
            without.setattr(module, "in_background", cannot_start)
        session = one.holder()
        session.cursor().execute("SELECT 1")
        session.release()
    assert one.settled()


def test_a_keeper_that_cannot_be_started_is_tried_again(scene, monkeypatch):
    one = scene(max_conns=2, max_idle=0.05)
    with monkeypatch.context() as without:
        without.setattr(watching, "in_background", cannot_start)
        assert one.waiter(lambda session: None).done.wait(30)
    first = one.holder()
    assert one.waiter(lambda session: None).done.wait(30)  # opens one: the keeper begins
    first.release()
    eventually(lambda: one.pool.stats()["open"] == 0)
    assert one.pool.stats()["closed"]["idle"] == 2


def test_a_child_of_a_fork_starts_with_none_and_tells_the_server_nothing(scene):
    one = scene(max_conns=3)
    used, spare = one.holder(), one.holder()
    spare.release()
    theirs = set(one.server.connections)
    broken = used.held
    broken.disown = cannot_start  # the others are disowned all the same
    one.pool.forget_after_fork()
    used.forget_after_fork()
    assert one.pool.stats()["open"] == 0
    assert one.server.connections == theirs
    assert [connection.sent.count("QUIT") for connection in theirs] == [0, 0]
    assert used.checkout() not in theirs
    assert one.pool.stats()["open"] == 1


# -- the session -----------------------------------------------------------------------------


def test_a_session_holds_its_connection_for_a_statement(scene):
    one = scene(max_conns=1)
    first, second = one.session(), one.session()
    for session in (first, second, first):
        session.cursor().execute("SELECT 1")
        assert session.held is None
    assert one.server.most == 1


def test_autocommit_goes_off_with_the_first_statement_and_on_with_the_commit(scene):
    one = scene(max_conns=1)
    session = one.session()
    session.cursor().execute("SELECT 0")
    session.autocommit(False)
    assert session.held is None
    session.cursor().execute("SELECT 1")
    connection = session.held
    session.cursor().execute("SELECT 2")
    session.commit()
    session.autocommit(True)
    assert session.held is None
    assert connection.sent[-4:] == [
        "SET autocommit = 0",
        "SELECT 1",
        "SELECT 2",
        "SET autocommit = 1",
    ]


def test_a_statement_that_is_never_sent_leaves_nothing_for_the_next_user(scene):
    one = scene(max_conns=1)
    session = one.session()
    session.autocommit(False)
    connection, _ = session.statement_begins("SELECT 1")
    assert connection.lead is False
    session.statement_failed(connection, TypeError("not enough arguments"))
    assert connection.lead is None
    session.autocommit(True)
    session.release()
    other = one.session()
    other.cursor().execute("INSERT INTO t VALUES (1)")
    assert "SET autocommit = 0" not in connection.sent
    assert not connection.in_transaction()


def test_a_changed_session_is_reset_before_it_goes_on(scene):
    one = scene(max_conns=1)
    session = one.session(set_up=["SET hello"])
    session.cursor().execute("SET a")
    connection = session.held
    assert connection.state == {"SET a"}
    session.release()
    assert connection.state == set()
    assert connection.fresh
    session.cursor().execute("SELECT 1")
    assert connection.sent[-3:] == ["SET autocommit = 1", "SET hello", "SELECT 1"]


def test_what_cannot_be_reset_is_closed(scene):
    one = scene(max_conns=1)
    session = one.session()
    session.cursor().execute("SET ROLE boss")
    connection = session.held
    session.release()
    assert connection.is_closed
    assert one.pool.stats()["closed"] == {"changed session": 1}


def test_a_block_by_hand_is_reset_at_its_end(scene):
    one = scene(max_conns=1)
    session = one.session()
    session.pin_by_hand()
    session.cursor().execute("SELECT my_function()")
    connection = session.held
    connection.state.add("what the function left")
    session.release()  # as request_finished of a test client
    assert session.held is connection
    session.unpin_by_hand()
    assert session.held is None
    assert connection.state == set()


def test_a_connection_lost_in_a_transaction_is_not_replaced_in_it(scene):
    one = scene()
    session = one.session()
    session.autocommit(False)
    session.cursor().execute("INSERT INTO t VALUES (1)")
    one.server.end(session.held)
    for _ in range(2):
        with pytest.raises(fake.OperationalError, match="Lost connection"):
            session.cursor().execute("INSERT INTO t VALUES (2)")
    session.rollback()
    session.autocommit(True)
    session.cursor().execute("SELECT 1")


def test_a_connection_lost_between_statements_is_replaced(scene):
    one = scene()
    session = one.session()
    session.cursor().execute("SELECT 1")
    one.server.end(*one.server.connections)
    session.cursor().execute("SELECT 2")


def test_the_receiver_of_new_connections_is_told_of_each(scene):
    told = []
    one = scene(reuse_conns=0)
    session = one.session(when_set_up=lambda: told.append(session.held))
    for _ in range(3):
        session.cursor().execute("SELECT 1")
    assert len(told) == len(set(map(id, told))) == 3


def test_an_error_in_the_set_up_gives_the_connection_back_closed(scene):
    one = scene(max_conns=1)
    session = one.session(set_up=["SET FAIL 1064"])
    for _ in range(3):
        with pytest.raises(fake.OperationalError):
            session.cursor().execute("SELECT 1")
        assert session.held is None
    eventually(lambda: one.pool.stats()["open"] == 0)


def test_an_attribute_that_nobody_has_keeps_no_connection(scene):
    one = scene(max_conns=1)
    session = one.session()
    assert not hasattr(session, "get_dsn_parameters")
    assert session.held is None
    assert session.home is one.server  # an attribute of the driver's connection
    assert session.held is not None


# -- an exception at any instruction ---------------------------------------------------------


class SoftLimitError(Exception):
    """As Celery's SoftTimeLimitExceeded, which a signal handler raises."""


@cache
def instructions(code):
    return {one.offset: one.opname for one in dis.get_instructions(code)}


#: Behind these Python looks whether a signal has come (the "eval breaker").
SIGNALS_ARE_SEEN_AFTER = ("CALL", "RESUME", "JUMP_BACKWARD")


def interrupted(function, number, error):
    """Call ``function`` and raise ``error`` at the ``number``th place, in any function of the pool
    that it calls, where a signal handler could. Returns the place; None if there are not so many.
    """
    left, place = number, None

    def enter(frame, event, arg):
        if "/src/mysql_pool/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        names, previous = instructions(frame.f_code), ""

        def step(frame, event, arg):
            nonlocal left, place, previous
            if event == "opcode":
                before, previous = previous, names.get(frame.f_lasti, "")
                if before.startswith(SIGNALS_ARE_SEEN_AFTER):
                    left -= 1
                    if left == 0:
                        place = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
                        raise error
            return step

        return step

    earlier = sys.gettrace()
    sys.settrace(enter)
    try:
        function()
    except type(error):
        pass
    finally:
        sys.settrace(earlier)
    return place


def is_free(lock):
    """Whether another thread could take the lock."""
    taken = []

    def take():
        if lock.acquire(blocking=False):
            lock.release()
            taken.append(True)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken == [True]


@pytest.fixture(params=[SoftLimitError, KeyboardInterrupt])
def everywhere(request, scene, monkeypatch):
    """``everywhere(prepare)``: ``prepare(scene)`` returns what is interrupted, again and again with
    a new scene, once at each place; afterwards nothing must be lost.

    What is begun in other threads has ended when it is handed back, so that all happens in order.
    """

    def at_once(function, *args):
        thread = threading.Thread(target=function, args=args)
        thread.start()
        thread.join()

    when_waiting = []

    def look_after(function, *args):
        if function.__name__ == "_watch_waiters" and when_waiting:
            at_once(when_waiting.pop())

    monkeypatch.setattr(opening, "in_background", at_once)
    monkeypatch.setattr(closing, "in_background", at_once)
    monkeypatch.setattr(watching, "in_background", look_after)

    def run(prepare, **options):
        for number in range(1, 5000):
            one = scene(**{"timeout": 15} | options)
            function, *after = prepare(one)
            one.pool.watcher.start_anew()  # without the one of the preparation
            when_waiting[:] = after
            place = interrupted(function, number, request.param())
            check(one, f"interrupted in {place}")
            one.end()
            if place is None:
                assert number > 10, "nothing was interrupted"
                return

    def check(one, where):
        pool, server = one.pool, one.server
        assert is_free(pool.inventory.lock), f"{where}: the lock is held"
        for session in sessions:
            session.release()
        sessions.clear()
        if "Spec.connect" in where or "Opener._open" in where:
            return  # a driver's connection that nobody has got closes its socket by itself
        assert len(server.connections) <= pool.stats()["open"], (
            f"{where}: a connection without a slot"
        )
        pool.watcher.reconcile(much_later())
        pool.serve()
        for thread in one.threads:
            thread.join(10)
            assert not thread.is_alive(), f"{where}: a waiter waits for ever"
        assert one.settled(), f"{where}: {pool.stats()}"
        assert all(slot.connection.state == set() for slot in pool.inventory.idle), (
            f"{where}: state is left"
        )
        assert server.most <= pool.inventory.limits.max_conns, f"{where}: the bound"

    sessions = []
    run.sessions = sessions
    return run


def test_a_checkout_of_an_idle_connection_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        everywhere.sessions.append(session := one.session())
        return (session.checkout,)

    everywhere(prepare)


def test_a_checkout_that_opens_a_connection_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions.append(session := one.session())
        return (session.checkout,)

    everywhere(prepare, max_conns=1)


def test_a_checkout_that_finds_an_old_connection_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        for connection in one.server.connections:
            connection.expires_at = 0
        everywhere.sessions.append(session := one.session())
        return (session.checkout,)

    everywhere(prepare, max_conns=1)


def test_a_checkout_that_makes_room_for_itself_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        everywhere.sessions.append(session := one.session(one.new_spec("other")))
        return (session.checkout,)

    everywhere(prepare, max_conns=1)


def test_a_checkout_that_is_handed_a_connection_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        first = one.holder()
        everywhere.sessions += [session := one.session(), first]
        return session.checkout, first.release

    everywhere(prepare, max_conns=1)


def test_a_checkout_that_times_out_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions += [session := one.session(), one.holder()]

        def take():
            with suppress(PoolTimeout):
                session.checkout()

        return (take,)

    everywhere(prepare, max_conns=1, timeout=0.0001)


def test_a_checkout_without_threads_can_be_interrupted_anywhere(everywhere, monkeypatch):
    def prepare(one):
        monkeypatch.setattr(opening, "in_background", cannot_start)
        everywhere.sessions.append(session := one.session())
        return (session.checkout,)

    everywhere(prepare, max_conns=1)


def test_a_release_to_the_idle_ones_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions.append(session := one.holder())
        return (session.release,)

    everywhere(prepare)


def test_a_release_to_a_waiter_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions.append(session := one.holder())
        one.waiter(lambda session: None)
        return (session.release,)

    everywhere(prepare, max_conns=1)


@pytest.mark.parametrize("reason", ["surplus", "lost"])
def test_a_release_that_closes_can_be_interrupted_anywhere(everywhere, reason):
    def prepare(one):
        everywhere.sessions.append(session := one.holder())
        if reason == "lost":
            session.held.busy = True
        return (session.release,)

    everywhere(prepare, max_conns=1, reuse_conns=int(reason == "lost"))


@pytest.mark.parametrize("sql", ["SET a", "SET ROLE boss"])  # reset; closed
def test_a_release_of_a_changed_session_can_be_interrupted_anywhere(everywhere, sql):
    def prepare(one):
        everywhere.sessions.append(session := one.session())
        session.cursor().execute(sql)
        return (session.release,)

    everywhere(prepare)


def test_a_statement_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        everywhere.sessions.append(session := one.session())
        cursor = session.cursor()
        return (lambda: cursor.execute("SELECT 1"),)

    everywhere(prepare)


def test_a_statement_that_changes_its_session_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        everywhere.sessions.append(session := one.session())
        cursor = session.cursor()
        return (lambda: cursor.execute("SET a"),)

    everywhere(prepare)


def test_a_transaction_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions.append(session := one.session())

        def transaction():
            session.autocommit(False)
            session.cursor().execute("INSERT INTO t VALUES (1)")
            session.commit()
            session.autocommit(True)

        return (transaction,)

    everywhere(prepare, max_conns=1)


def test_close_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        spare = one.holder()
        everywhere.sessions.append(one.holder())
        spare.release()
        return (one.pool.close,)

    everywhere(prepare)


def test_a_connection_whose_server_is_slow_to_close_keeps_its_slot_anyway(scene, monkeypatch):
    """Between the two assignments that keep the socket, too."""
    monkeypatch.setattr(closing, "in_background", lambda *args: None)
    for number in range(1, 5000):
        one = scene(max_conns=1, reuse_conns=0)
        one.server.lets_go = False
        session = one.holder()
        place = interrupted(session.release, number, SoftLimitError())
        session.release()
        one.pool.watcher.reconcile(much_later())
        assert one.pool.stats()["open"] == len(one.server.connections) == 1, (
            f"interrupted in {place}"
        )
        one.server.end_what_was_closed()
        one.pool.inventory.slots.clear()
        if place is None:
            assert number > 10
            return
