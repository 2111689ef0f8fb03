"""Several processes on a real server: the bound of their host, and who gets how much of it.

The server is asked every 3 ms how many connections it has.
"""

import os
import signal

import pytest

from mysql_pool.ledger.reading import read_host
from packages.mysql_pool.tests.host.conftest import CONNS
from packages.mysql_pool.tests.host.host import until

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


def only_answers(told):
    """All that clients have had are answers."""
    return told["answers"] and not told["errors"]


def test_a_process_alone_uses_all(member, counter):
    one = member()
    one.clients(40)
    until(lambda: one.now["open"] == CONNS)
    until(lambda: one.now["answers"] > 200)
    assert only_answers(one.now)
    assert counter.most == CONNS


@pytest.mark.parametrize("threads", [False, True])
def test_a_newcomer_gets_its_share(member, counter, threads):
    one, two = member(threads=threads), member(threads=threads)
    one.clients(40)
    until(lambda: one.now["open"] == CONNS)
    two.clients(40)
    until(lambda: two.now["open"] == CONNS // 2)
    until(lambda: two.now["answers"] > 100)
    assert one.now["open"] == CONNS // 2
    assert only_answers(one.now)
    assert only_answers(two.now)
    assert counter.most == CONNS


def test_who_wants_little_gets_it_and_the_rest_is_anothers(member, counter):
    one, two = member(), member()
    one.clients(40)
    two.clients(3)
    until(lambda: (one.now["open"], two.now["open"]) == (CONNS - 3, 3))
    two.clients(0)
    # What is guaranteed to it stays free for it.
    until(lambda: one.now["open"] == CONNS - 2)
    assert counter.most <= CONNS


def test_idle_connections_go_to_who_needs_them(member, counter):
    one, two = member(), member()
    one.clients(40)
    until(lambda: counter.now == CONNS)
    one.clients(0)
    until(lambda: one.now["in_use"] == 0)
    assert one.now["idle"] == CONNS
    two.clients(40)
    until(lambda: two.now["open"] == CONNS - 2)
    assert one.now["open"] == 2
    assert counter.most == CONNS


def test_a_killed_process_leaves_its_part_to_the_others(member, counter):
    one, two = member(), member()
    one.clients(40, 0.3)
    two.clients(40, 0.3)
    until(lambda: one.now["open"] == two.now["open"] == CONNS // 2)
    one.kill()
    until(lambda: two.now["open"] == CONNS)
    until(lambda: two.now["answers"] > 100)
    assert only_answers(two.now)
    assert counter.most == CONNS


def test_all_are_killed_and_their_statements_go_on(member, counter):
    one = member()
    one.clients(40, 2)
    until(lambda: one.now["in_use"] == CONNS)
    one.kill()
    two = member()
    two.clients(40, 0.02)
    until(lambda: two.now["open"] == CONNS)
    # Nobody is left who could ask the server: one connection is tried after a second.
    assert counter.most <= CONNS + 1


def test_a_stopped_process_keeps_what_it_has(member, counter):
    one, two = member(), member()
    one.clients(40)
    until(lambda: counter.now == CONNS)
    os.kill(one.process.pid, signal.SIGSTOP)
    try:
        two.clients(4)
        until(lambda: two.now["waiting"] == 4)
        assert counter.most == CONNS
    finally:
        os.kill(one.process.pid, signal.SIGCONT)
    until(lambda: two.now["open"] == 4)
    assert counter.most == CONNS


@pytest.mark.chaos
@pytest.mark.parametrize("harm", ["delete", "truncate", "overwrite", "replace"])
def test_a_file_that_is_harmed(member, counter, ledger, harm):
    one, two = member(), member()
    one.clients(40)
    two.clients(40)
    until(lambda: one.now["open"] == two.now["open"] == CONNS // 2)
    if harm == "delete":
        ledger.unlink()
    elif harm == "truncate":
        os.truncate(ledger, 0)
    elif harm == "overwrite":
        ledger.write_bytes(bytes(range(256)) * 400)
    else:  # a backup is put back
        copy = ledger.with_name("copy")
        copy.write_bytes(ledger.read_bytes())
        copy.replace(ledger)
    three = member()
    three.clients(40)
    if harm == "overwrite":  # it is of no version that is known: the newcomer has its static share
        until(lambda: three.now["open"] == 3)
        return
    until(lambda: [each.now["open"] for each in (one, two, three)] == [CONNS // 3] * 3)
    for each in (one, two, three):
        until(lambda each=each: each.now["answers"])
        assert only_answers(each.now)
    assert counter.most == CONNS


def test_what_anybody_can_read(member, ledger):
    one, two = member(ROLE="web"), member(ROLE="celery")
    one.clients(40)
    two.clients(2)
    until(lambda: one.now["open"] == CONNS - 2)
    until(
        lambda: (
            {record.role: record.open for record in read_host(str(ledger)).living}
            == {
                "web": CONNS - 2,
                "celery": 2,
            }
        )
    )
    answers = two.clients(0)["answers"]
    two.end()
    host = read_host(str(ledger))
    assert [record.role for record in host.living] == ["web"]
    (ended,) = host.ended
    assert ended.role == "celery"
    assert ended.checkouts >= answers
