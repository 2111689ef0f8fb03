"""The server goes away, connections are killed, greenlets are killed: who notices, what is left."""

import os
import random
import signal
import socket
import threading
from contextlib import suppress

import pytest
from django.db import OperationalError, connection, connections, transaction

from mysql_pool import close_pool, drivers, stats
from mysql_pool.errors import PoolTimeout
from packages.mysql_pool.tests.behaviour.scene import (
    DRIVER,
    PASSWORD,
    USER,
    Threads,
    end_request,
    eventually,
    in_greenlets,
    in_transaction_mode,
    run,
    whole_again,
)


def test_idle_connections_that_the_server_closed_are_not_handed_out(seen):
    Threads(5, lambda number: run("SELECT SLEEP(0.05)")).join()
    end_request()
    seen.kill_all()
    eventually(lambda: seen.connections() == 0)
    assert run("SELECT 1") == ((1,),)
    end_request()
    whole_again()


def test_a_restarted_server_is_used_again_without_an_error(use, new_server):
    own = new_server()
    use(own)
    Threads(5, lambda number: run("SELECT SLEEP(0.02)")).join()
    end_request()
    own.restart()
    assert run("SELECT 1") == ((1,),)
    end_request()
    whole_again()


def test_a_missing_server_is_asked_by_one_connector_for_all_and_then_a_timeout(use, new_server):
    own = new_server()
    use(own, POOL_TIMEOUT=1)
    run("SELECT 1")
    end_request()
    own.kill()
    results = Threads(30, lambda number: run("SELECT 1")).join()
    assert len(results.errors) == 30
    assert all(isinstance(error.__cause__, PoolTimeout) for error in results)
    assert all("the last attempt to connect failed: (200" in str(error) for error in results)
    assert stats()["default"]["connect_errors"] < 10
    own.start()
    use(own, POOL_TIMEOUT=10)
    assert run("SELECT 1") == ((1,),)
    end_request()
    whole_again()


def test_a_connection_that_is_refused_is_an_error_and_nothing_is_printed(use, tmp_path, capfd):
    use(POOL_TIMEOUT=0.3)
    connections.databases["default"]["HOST"] = str(tmp_path / "nobody.sock")
    with pytest.raises(OperationalError):
        run("SELECT 1")
    assert capfd.readouterr() == ("", "")


def test_wait_timeout_passes_unnoticed(use, new_server):
    own = new_server(wait_timeout="2", interactive_timeout="2")
    use(own, MAX_IDLE=60)  # wrong on purpose: the server closes first
    Threads(3, lambda number: run("SELECT SLEEP(0.02)")).join()
    end_request()
    eventually(lambda: not [r for r in own.sql("SHOW PROCESSLIST") if r[1] == "pool"])
    assert run("SELECT 1") == ((1,),)


def test_a_server_that_comes_back_in_time_is_no_error(use, new_server):
    own = new_server()
    use(own, POOL_TIMEOUT=60)
    run("SELECT 1")
    end_request()
    own.kill()
    waiting = Threads(10, lambda number: run("SELECT 1"))
    eventually(lambda: stats()["default"]["connect_errors"] > 2)
    own.start()
    assert waiting.join() == [((1,),)] * 10


def test_max_connections_taken_by_others_are_waited_for(use, new_server):
    own = new_server(max_connections="10")
    use(own, using="other", MAX_CONNS=12, POOL_TIMEOUT=60)
    use(own, POOL_TIMEOUT=1)
    release = threading.Event()
    inside = []

    def occupy(number):
        # More than once: the server may still count a connection that set it up and has ended.
        while not release.is_set():
            with suppress(OperationalError), transaction.atomic(using="other"):
                run("SELECT 1", using="other")
                inside.append(number)
                release.wait(20)
            release.wait(0.05)

    others = Threads(12, occupy)
    eventually(lambda: len(inside) == 10)
    (error,) = Threads(1, lambda number: run("SELECT 1")).join()
    assert isinstance(error.__cause__, PoolTimeout)
    assert "Too many connections" in str(error)
    # Not `use`: the administrator's one place may be taken by a connect that is being refused.
    connections.databases["default"]["OPTIONS"]["POOL_TIMEOUT"] = 60
    waiting = Threads(1, lambda number: run("SELECT 1"))
    eventually(lambda: stats()["default"]["waiting"] == 1)
    release.set()
    others.join()
    close_pool("other")
    assert waiting.join() == [((1,),)]


def test_connections_killed_in_a_loop_give_errors_only_to_their_users(use, seen):
    use(MAX_CONNS=5, POOL_TIMEOUT=30)
    stop = threading.Event()
    wrong = []

    def request(number):
        errors = good = 0
        while not stop.is_set():
            try:
                ((answer,),) = run("SELECT %s", [number])
                good += 1
                if answer != number:
                    wrong.append((number, answer))
            except OperationalError:
                errors += 1
            end_request()
        return good, errors

    clients = Threads(20, request)
    for _ in range(15):
        seen.kill_all()
    stop.set()
    clients.join()
    assert clients.errors == []
    assert wrong == []
    assert sum(good for good, _ in clients) > 100
    whole_again()


def test_a_lost_connection_leaves_the_file_that_took_its_number_alone(server, seen):
    # The C library closes a lost socket by itself: the number is the next file's from then on.
    driver = drivers.load(DRIVER)
    account = {"unix_socket": str(server.socket), "user": USER, "password": PASSWORD}
    connection = driver.connect(account)
    seen.kill_all()
    with pytest.raises(driver.Error):
        connection.run("SELECT 1")
    strangers = [socket.socketpair() for _ in range(5)]
    dropped = connection.hang_up()
    if dropped is not None:
        assert drivers.wait_for_end(dropped, 5)
        dropped.close()
    for one, other in strangers:
        one.sendall(b"mine")
        assert other.recv(4) == b"mine"
        one.close()
        other.close()


def test_a_fork_uses_connections_of_its_own(seen):
    run("SELECT 1")
    end_request()
    before = run("SELECT CONNECTION_ID()")
    end_request()
    pid = os.fork()
    if pid == 0:
        try:
            child = run("SELECT CONNECTION_ID()")
            os._exit(0 if child != before else 3)
        except BaseException:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert run("SELECT CONNECTION_ID()") == before


def test_a_fork_in_a_transaction_leaves_the_parents_alone(table):
    with transaction.atomic():
        run(f"INSERT INTO {table} (value) VALUES (1)")
        pid = os.fork()
        if pid == 0:
            try:
                run(f"INSERT INTO {table} (value) VALUES (2)")
                os._exit(3)
            except OperationalError as error:
                os._exit(0 if "forked" in str(error) else 4)
            except BaseException:
                os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert run(f"SELECT value FROM {table}") == ((1,),)


def test_a_read_timeout_ends_the_statement_at_the_server(use, seen):
    use(MAX_CONNS=2, read_timeout=1)
    with pytest.raises(OperationalError, match="Lost connection"):
        run("SELECT SLEEP(30)")
    end_request()
    eventually(lambda: seen.running("SLEEP(30)") == 0)


def test_a_write_timeout_ends_the_wait_for_a_server_that_does_not_read(use, new_server):
    own = new_server()
    use(own, MAX_CONNS=2, write_timeout=1)
    run("SELECT 1")
    end_request()
    os.kill(own.pid, signal.SIGSTOP)
    try:
        with pytest.raises(OperationalError):
            run("SELECT LENGTH(%s)", ["x" * 8_000_000])  # more than fits into the socket
    finally:
        os.kill(own.pid, signal.SIGCONT)
    end_request()
    whole_again(2)


@in_greenlets
def test_a_killed_greenlet_gives_back_its_slot_and_its_statement_is_ended(use, seen):
    import gevent

    use(MAX_CONNS=3)
    for _ in range(4):
        sleepers = [gevent.spawn(run, "SELECT SLEEP(30)") for _ in range(2)]
        eventually(lambda: seen.running("SLEEP(30)") == 2)
        gevent.killall(sleepers)
        eventually(lambda: seen.running("SLEEP(30)") == 0)
        assert seen.connections() <= 3
    whole_again(3)
    assert stats()["default"]["closed"]["interrupted"] == 8


@in_greenlets
def test_a_greenlet_killed_again_while_it_cleans_up_loses_nothing(use):
    import gc
    from weakref import WeakSet

    import gevent

    use(MAX_CONNS=5, POOL_TIMEOUT=30)
    killed = WeakSet()
    for number in range(200):
        one = gevent.spawn(run, "SELECT SLEEP(0.02)")
        killed.add(one)
        gevent.sleep(0.005)
        one.kill(block=False)
        gevent.sleep(number % 4 * 0.00005)  # its clean-up has a turn of the loop, or a few
        one.kill()
    del one
    whole_again()

    def kept():
        gc.collect()
        return len(killed)

    # Not kept for ever; what it started for its clean-up may hold it for a moment.
    eventually(lambda: kept() == 0)


@in_greenlets
def test_abandoned_statements_count_against_the_bound_until_they_end(use, seen):
    import gevent

    use(MAX_CONNS=2, POOL_TIMEOUT=30)
    run("SELECT 1")
    end_request()
    seen.forget_peak()
    sleepers = [gevent.spawn(run, "SELECT SLEEP(0.5)") for _ in range(2)]
    eventually(lambda: seen.running("SLEEP(0.5)") == 2)
    gevent.killall(sleepers)  # all slots: there is no connection left to send KILL with
    assert run("SELECT 1") == ((1,),)
    assert seen.peak() <= 2


@in_greenlets
def test_killed_and_timed_out_at_random_no_wrong_answer_and_no_lost_slot(use, seen):
    from packages.mysql_pool.tests.behaviour.killing import Load, left_over, lost_slots

    use(MAX_CONNS=5, POOL_TIMEOUT=30, MAX_IDLE=4)
    load = Load(int(os.environ.get("POOL_SEED", random.randrange(10**6))))
    print("POOL_SEED", load.seed)
    files = left_over()["files"]
    seen.forget_peak()
    requests = int(os.environ.get("POOL_REQUESTS", 1800))  # `make soak`: 100,000
    load.requests(requests)
    assert load.wrong == []
    assert set(load.ended) == {"killed", "timed out"}
    assert load.answered > requests / 4
    assert stats()["default"]["closed"]["interrupted"] > 0
    assert lost_slots() == 0
    assert seen.peak() <= 5
    eventually(lambda: left_over()["files"] <= files)  # a leak stays
    eventually(lambda: load.kept() == 0)


@in_greenlets
def test_a_greenlet_killed_while_it_waits_loses_nothing(use):
    import gevent

    def request():
        try:
            run("SELECT 1")
        finally:
            end_request()

    use(MAX_CONNS=1, POOL_TIMEOUT=10)
    for _ in range(20):
        with transaction.atomic():
            run("SELECT 1")
            waiting = [gevent.spawn(request) for _ in range(5)]
            eventually(lambda: stats()["default"]["waiting"] == 5)
            gevent.killall(waiting[:3], block=False)
        end_request()
        gevent.killall(waiting)
    whole_again(1)


@in_greenlets
def test_the_hub_runs_while_the_server_works(use):
    import gevent

    ticks = []

    def tick():
        while True:
            ticks.append(1)
            gevent.sleep(0.005)

    run("SELECT 1")
    ticker = gevent.spawn(tick)
    run("SELECT SLEEP(0.5)")
    ticker.kill()
    assert len(ticks) > 2  # of about 100; one, if the hub were held


@in_greenlets
def test_connects_that_hang_leave_the_hubs_threads_to_others(use, tmp_path):
    """They look up names, for everybody."""
    import gevent

    path = str(tmp_path / "silent.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(100)
    for alias in ("default", "other"):
        use(using=alias, MAX_CONNS=10, POOL_TIMEOUT=3, connect_timeout=8)
        connections.databases[alias]["HOST"] = path
    stuck = [
        gevent.spawn(run, "SELECT 1", using=a) for a in ("default", "other") for _ in range(10)
    ]
    eventually(lambda: sum(one["connecting"] for one in stats().values()) >= 10)
    gevent.sleep(0)  # their connects are on the way
    with gevent.Timeout(4, False):
        assert socket.getaddrinfo("localhost", 80)
        stuck.append(None)
    gevent.killall(stuck[:20])
    listener.close()
    assert stuck[20:] == [None]


@in_transaction_mode
def test_a_long_running_command_heals_without_any_request(seen):
    run("SELECT 1")
    seen.kill_all()
    eventually(lambda: seen.connections() == 0)
    assert run("SELECT 1") == ((1,),)


def test_a_server_that_accepts_and_never_answers_is_an_error(use, tmp_path):
    path = str(tmp_path / "silent.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    use(POOL_TIMEOUT=1, connect_timeout=1)
    connections.databases["default"]["HOST"] = path
    connection.close()
    with pytest.raises(OperationalError):
        run("SELECT 1")
    listener.close()
