"""What was lost on its way is found: on a server that is fake."""

import gc
import threading

import pytest

from mysql_pool import closing, opening, watching
from mysql_pool.holder import Spec
from packages.mysql_pool.tests import fake
from packages.mysql_pool.tests.alone import cannot_start, eventually, much_later


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


def test_a_greenlet_of_the_parent_that_cannot_connect_is_nobodys_error_in_the_child(scene):
    """gevent's greenlets go on in the child of a fork, in the middle of the parent's handshake."""
    one = scene(timeout=5)
    theirs, ours = threading.Event(), threading.Event()
    asked = []

    def connect(parameters):
        asked.append(theirs if not asked else ours)
        mine = asked[-1]
        assert mine.wait(20)
        if mine is theirs:
            raise fake.InterfaceError("the other process has read the answer")
        return one.driver.connect(parameters)

    spec = one.pool.specs.find({"name": "slow"}, lambda: Spec(connect))
    one.waiter(spec=spec)
    eventually(lambda: len(asked) == 1)
    one.pool.forget_after_fork()
    outcome = one.waiter(spec=spec, then=lambda session: None)
    eventually(lambda: len(asked) == 2)
    theirs.set()
    eventually(lambda: one.pool.opener.connect_errors == 1)
    ours.set()
    assert outcome.done.wait(20)
    assert outcome.error is None
