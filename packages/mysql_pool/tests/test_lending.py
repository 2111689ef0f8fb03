"""Which connection is lent, kept or closed: on a server that is fake."""

import gc
import time
import weakref
from contextlib import suppress

import pytest

from mysql_pool import specs as specs_module
from packages.mysql_pool.tests import fake
from packages.mysql_pool.tests.alone import eventually


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


def test_a_connection_that_has_ended_is_no_garbage_in_a_cycle(scene):
    one = scene(max_conns=1, reuse_conns=0)
    session = one.holder()
    connection = weakref.ref(session.held)
    gc.disable()
    try:
        session.release()
        eventually(lambda: one.pool.stats()["open"] == 0)
        one.server.forget()
        eventually(lambda: connection() is None)
    finally:
        gc.enable()


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
