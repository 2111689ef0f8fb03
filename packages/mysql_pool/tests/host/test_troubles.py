"""A host in trouble, on a real server: forks, kills, reloads, interruptions, a restart.

The server is asked every 3 ms how many connections it has.
"""

import random
import time

import pytest

from mysql_pool.ledger.reading import read_host
from packages.mysql_pool.tests.host.conftest import CONNS
from packages.mysql_pool.tests.host.host import Counter, until

pytestmark = [pytest.mark.chaos, pytest.mark.server, pytest.mark.timeout(200)]


def only_answers(told):
    """All that clients have had are answers."""
    return told["answers"] and not told["errors"]


def has_all(member):
    """Whether nothing is lost: one process alone comes to all connections of the host."""
    last = member()
    last.clients(40)
    until(lambda: last.now["open"] == CONNS)
    until(lambda: last.now["answers"] > 100)
    assert only_answers(last.now)


# -- forks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [True, False])
def test_a_parent_with_connections_and_its_children(member, counter, ledger, threads):
    """As Celery's prefork pool, if the main process uses the database."""
    parent = member(threads=threads)
    parent.clients(40)
    until(lambda: counter.now == CONNS)
    children = parent("fork 3")["children"]

    def living():
        return read_host(str(ledger)).living

    until(lambda: {one.pid for one in living()} == {parent.process.pid, *children})
    until(lambda: all(one.created > 5 for one in living() if one.pid in children))
    until(lambda: parent.now["answers"])
    assert only_answers(parent.now)
    assert counter.most == CONNS

    other = member()
    other.clients(40)
    parent.kill()
    # Its part is free although its children live, and they have lost nothing.
    until(lambda: {one.pid for one in living()} == {other.process.pid, *children})
    until(lambda: other.now["open"] >= CONNS - 6)
    before = {one.pid: one.created for one in living()}
    until(lambda: all(one.created > before[one.pid] for one in living() if one.pid in children))
    parent.kill_children()
    until(lambda: other.now["open"] == CONNS)
    assert only_answers(other.now)
    assert counter.most == CONNS


# -- interruptions ---------------------------------------------------------------------------------


def test_a_process_that_is_interrupted_again_and_again_loses_nothing(member, counter):
    one, two = member(threads=True), member()
    one.clients(4)
    two.clients(20)
    assert only_answers(one("interrupt 300"))
    one.clients(0)
    two.clients(0)
    until(lambda: one.now["in_use"] == two.now["in_use"] == 0)
    # Both stay, so nothing that one of them has lost is freed by its end.
    three = member(GUARANTEED=1)
    three.clients(40)
    until(lambda: three.now["open"] >= CONNS - 4)
    assert only_answers(two.now)
    assert counter.most <= CONNS


# -- kills -----------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize("threads", [False, True])
def test_members_are_killed_at_random(member, counter, threads):
    """For half a minute; their statements are short, as most are."""
    chance, end = random.Random(1), time.monotonic() + (30 if not threads else 15)
    members = []
    while time.monotonic() < end:
        while len(members) < 4:
            members.append(member(threads=threads))
            members[-1].clients(20, chance.choice([0.001, 0.02, 0.1]))
        time.sleep(chance.uniform(0, 0.5))
        members.pop(chance.randrange(4)).kill()
        for one in members:
            assert not one.now["errors"]
    for one in members:
        one.kill()
    has_all(member)
    assert counter.most <= CONNS


# -- reloads ---------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize("threads", [False, True])
def test_ten_reloads_under_load(member, counter, threads):
    """New processes begin while the old ones serve what they have, and end."""
    old = [member(threads=threads) for _ in range(2)]
    for one in old:
        one.clients(20)
    for _ in range(10):
        new = [member(threads=threads) for _ in range(2)]
        for one in new:
            one.clients(20)
        until(lambda new=new: all(one.now["answers"] > 20 for one in new))
        for one in old:
            one.clients(0)
            until(lambda one=one: one.now["in_use"] == 0)
            assert only_answers(one.now)
            one.end()
        old = new
    until(lambda: sum(one.now["open"] for one in old) == CONNS)
    assert counter.most == CONNS


# -- the server ------------------------------------------------------------------------------------


@pytest.mark.full
def test_the_server_restarts_under_load(member, host_server):
    one, two = member(), member(threads=True)
    for each in (one, two):
        each.clients(40)
    until(lambda: one.now["open"] == two.now["open"] == CONNS // 2)
    host_server.restart()
    counter = Counter(host_server)
    try:
        before = [each.now["answers"] for each in (one, two)]
        until(lambda: one.now["answers"] > before[0] + 100)
        until(lambda: two.now["answers"] > before[1] + 100)
        until(lambda: one.now["open"] == two.now["open"] == CONNS // 2)
        errors = [each.now["errors"] for each in (one, two)]
        until(lambda: one.now["answers"] > before[0] + 300)
        assert [each.now["errors"] for each in (one, two)] == errors
        assert counter.most == CONNS
    finally:
        counter.end()


# -- settings that change --------------------------------------------------------------------------


def test_newcomers_with_another_bound(member, counter):
    """A deployment has changed the budget: old and new workers run side by side for a while."""
    old = member()
    old.clients(40)
    until(lambda: old.now["open"] == CONNS)
    lower = member(HOST_CONNS=6, MAX_CONNS=6)
    lower.clients(40)
    until(lambda: lower.now["answers"] > 50)
    assert counter.most == CONNS
    old.clients(0)
    until(lambda: old.now["in_use"] == 0)
    old.end()
    until(lambda: lower.now["open"] == 6)
    until(lambda: counter.now == 6)
    higher = member(HOST_CONNS=16, MAX_CONNS=16)
    higher.clients(40)
    until(lambda: higher.now["open"] >= 10)
    lower.clients(0)
    until(lambda: higher.now["open"] == 14)  # all but what is guaranteed to the other
    assert only_answers(lower.now)
    assert only_answers(higher.now)
    assert counter.most <= 16


def test_a_program_with_one_thread_stays_at_its_guarantee(member, counter):
    """Nobody in it listens, so nobody could ask it to give anything up."""
    shell, one = member(threads=True, GUARANTEED=1), member(GUARANTEED=1)
    shell("main 200")
    assert shell.now["open"] == 1
    one.clients(40)
    until(lambda: one.now["open"] == CONNS - 1)
    shell("main 50")
    assert only_answers(shell.now)
    assert shell.now["open"] == 1
    assert counter.most == CONNS


# -- wants -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [False, True])
def test_a_want_that_comes_and_goes(member, counter, threads):
    one, two = member(), member(threads=threads)
    one.clients(40)
    two.clients(1)
    for _ in range(4):
        until(lambda: one.now["open"] == CONNS - 2)
        two.clients(8, 0.01)
        until(lambda: one.now["open"] == two.now["open"] == CONNS // 2)
        two.clients(0)
    assert only_answers(one.now)
    assert only_answers(two.now)
    assert counter.most == CONNS
