"""One address and several servers behind it: failover, demotion, limits, servers that hang."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import OperationalError, connections, transaction

from localserver.server import Server
from mysql_pool import stats
from mysql_pool.errors import PoolTimeout
from packages.mysql_pool.tests.behaviour.scene import (
    DATABASE,
    USER,
    Threads,
    end_request,
    eventually,
    in_greenlets,
    run,
    whole_again,
)
from tests.server_options import SERVER_OPTIONS


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two servers."""
    folder = tmp_path_factory.mktemp("two")
    with (
        Server(folder / "one", SERVER_OPTIONS) as one,
        Server(folder / "two", SERVER_OPTIONS) as two,
    ):
        yield one, two


def kills(server):
    """How many it was told to end."""
    return server.sql("SHOW GLOBAL STATUS LIKE 'Com_kill'")


def freeze(server):
    """Stop its process. Until all of its threads have stopped it may still answer."""
    os.kill(server.pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{server.pid}/task")

    def states():
        return {
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()
        }

    eventually(lambda: states() == {"T"})


def where():
    """The server that answers: its data folder."""
    return run("SELECT @@datadir")[0][0].rstrip("/")


def test_a_statement_is_not_killed_at_another_server(use_proxy, two):
    one, another = two
    proxy = use_proxy(one, another, MAX_CONNS=2, POOL_TIMEOUT=20, read_timeout=1)
    before = kills(another)
    proxy.lead_to(one.socket)
    with suppress(OperationalError), transaction.atomic():
        assert where() == str(one.datadir)
        proxy.lead_to(another.socket)
        assert Threads(1, lambda number: where()).join() == [str(another.datadir)]
        with pytest.raises(OperationalError):
            run("SELECT SLEEP(2.5)")
    end_request()
    eventually(lambda: stats()["default"]["closing"] == 0)
    assert kills(another) == before


def test_after_a_failover_from_a_server_that_hangs_the_slots_are_used_again(use_proxy, two):
    one, another = two
    timeouts = {"read_timeout": 1, "write_timeout": 1, "connect_timeout": 1}
    proxy = use_proxy(one, another, MAX_CONNS=2, POOL_TIMEOUT=1, **timeouts)
    proxy.lead_to(one.socket)

    def attempt(number):
        try:
            return where()
        except OperationalError:
            return None
        finally:
            end_request()

    Threads(2, lambda number: run("SELECT SLEEP(0.1)")).join()
    freeze(one)
    try:
        assert Threads(2, attempt).join() == [None, None]
        proxy.lead_to(another.socket)
        eventually(lambda: attempt(0) == str(another.datadir), 60)
        assert Threads(2, attempt).join() == [str(another.datadir)] * 2
    finally:
        os.kill(one.pid, signal.SIGCONT)
    whole_again(2)


def test_the_connections_to_a_server_that_was_demoted_leave_the_pool(use_proxy, two):
    one, another = two
    proxy = use_proxy(one, another, MAX_CONNS=3)
    proxy.lead_to(one.socket)
    for server in two:
        server.sql("CREATE TABLE item (id INT)", DATABASE)
    Threads(3, lambda number: run("SELECT SLEEP(0.1)")).join()
    end_request()
    one.sql("SET GLOBAL read_only = 1")
    proxy.lead_to(another.socket)
    errors = []
    for _ in range(5):
        try:
            run("INSERT INTO item VALUES (1)")
        except OperationalError as error:
            errors.append(error)
        end_request()
    assert [error.args[0] for error in errors] == [1290]
    assert another.sql("SELECT COUNT(*) FROM item", DATABASE) == [["4"]]
    one.sql("SET GLOBAL read_only = 0")


def test_an_account_that_may_have_fewer_connections_is_waited_for(use_proxy, two):
    own = two[0]
    proxy = use_proxy(own, MAX_CONNS=10, POOL_TIMEOUT=60)
    own.sql(f"ALTER USER {USER}@'%' WITH MAX_USER_CONNECTIONS 2")

    def client(number):
        for _ in range(20):
            run("SELECT SLEEP(0.005)")
            end_request()

    assert Threads(6, client).join().errors == []
    assert proxy.connections < 40  # of 120 statements


@in_greenlets
def test_a_health_check_does_not_hold_the_hub(use, two):
    import gevent

    own = two[0]
    use(own, MAX_CONNS=2)
    connections.databases["default"]["CONN_HEALTH_CHECKS"] = True
    ticks = []

    def tick():
        while True:
            ticks.append(1)
            gevent.sleep(0.01)

    try:
        run("SELECT 1")
        end_request()
        os.kill(own.pid, signal.SIGSTOP)
        # Another process wakes it up: this one may not be able to.
        waker = subprocess.Popen(["sh", "-c", f"sleep 1; kill -CONT {own.pid}"])
        ticker = gevent.spawn(tick)
        assert run("SELECT 1") == ((1,),)
        ticker.kill()
        waker.wait()
        assert len(ticks) > 2  # of about 100; one, if the hub were held
    finally:
        os.kill(own.pid, signal.SIGCONT)
        connections.databases["default"]["CONN_HEALTH_CHECKS"] = False


def test_who_waits_for_a_server_that_never_greets_waits_no_longer_than_for_a_connection(
    use_proxy, server
):
    proxy = use_proxy(server, MAX_CONNS=2, POOL_TIMEOUT=1, connect_timeout=8)
    proxy.hold()
    begun = time.monotonic()
    with pytest.raises(OperationalError) as error:
        run("SELECT 1")
    assert time.monotonic() - begun < 6
    assert isinstance(error.value.__cause__, PoolTimeout)
    proxy.go()
    eventually(lambda: stats()["default"]["connecting"] == 0)
    assert run("SELECT 1") == ((1,),)
    end_request()
    whole_again(2)


def test_a_name_that_is_not_known_is_a_timeout_and_says_so(use):
    use(POOL_TIMEOUT=0.5)
    connections.databases["default"]["HOST"] = "nowhere.invalid"
    with pytest.raises(OperationalError, match=r"nowhere\.invalid") as error:
        run("SELECT 1")
    assert isinstance(error.value.__cause__, PoolTimeout)
