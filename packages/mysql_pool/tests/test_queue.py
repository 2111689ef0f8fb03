"""Who waits, and what happens while the server refuses connections: on a server that is fake."""

import re
import threading
import time
from itertools import pairwise

import pytest

from mysql_pool import closing, opening
from mysql_pool.errors import PoolTimeout, TooManyWaiting
from packages.mysql_pool.tests import fake
from packages.mysql_pool.tests.alone import eventually, refused

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
    with pytest.raises(PoolTimeout) as raised:
        one.session().checkout()
    assert re.sub(r"\d\.\d s", "0.1 s", str(raised.value)) == (
        f"No connection from the pool {one.pool.name!r} within 0.1 s (POOL_TIMEOUT): "
        "1 of 1 are in use, 0 others wait."
    )
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
