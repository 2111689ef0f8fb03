"""Never more connections than MAX_CONNS, as the server counts them."""

import threading
import time

import pytest
from django.db import OperationalError, connection, transaction

from mysql_pool import stats
from mysql_pool.errors import PoolTimeout, TooManyWaiting
from packages.mysql_pool.tests.behaviour.scene import (
    Threads,
    end_request,
    eventually,
    in_greenlets,
    run,
)


def test_a_burst_on_a_cold_pool_opens_no_more_than_the_bound(use, seen):
    use(MAX_CONNS=10, POOL_TIMEOUT=30)
    seen.forget_peak()

    def request(number):
        run("SELECT SLEEP(0.01)")
        end_request()

    assert Threads(300, request).join().errors == []
    assert 0 < seen.peak() <= 10
    assert stats()["default"]["created"] <= 10


def test_a_transaction_holds_one_connection_and_others_wait_for_it(use):
    use(MAX_CONNS=1, POOL_TIMEOUT=30)
    order = []

    def request(number):
        with transaction.atomic():
            run("SELECT 1")
            order.append(("begin", number))
            time.sleep(0.002)
            run("SELECT 2")
            order.append(("end", number))
        end_request()

    assert Threads(20, request).join().errors == []
    pairs = list(zip(order[::2], order[1::2], strict=True))
    assert all(begin[1] == end[1] for begin, end in pairs)


def test_waiters_are_served_first_come_first_served(use, table):
    use(MAX_CONNS=1, POOL_TIMEOUT=30)
    queue = []
    with transaction.atomic():
        run("SELECT 1")  # the only connection is ours now
        waiting = lambda: stats()["default"]["waiting"]  # noqa: E731

        def request(number):
            # The server notes the order: a thread may be interrupted before it could.
            run(f"INSERT INTO {table} (value) VALUES ({number})")
            end_request()

        for number in range(12):
            queue.append(threading.Thread(target=request, args=(number,), daemon=True))
            queue[-1].start()
            eventually(lambda number=number: waiting() == number + 1)
    end_request()
    for thread in queue:
        thread.join()
    assert run(f"SELECT value FROM {table} ORDER BY id") == tuple((n,) for n in range(12))


def test_who_comes_later_does_not_overtake_who_waits(use, table):
    use(MAX_CONNS=1, POOL_TIMEOUT=30)

    def waiter(number):
        run(f"INSERT INTO {table} (value) VALUES (1)")
        end_request()

    with transaction.atomic():
        run("SELECT 1")
        others = Threads(1, waiter)
        eventually(lambda: stats()["default"]["waiting"] == 1)
    end_request()
    run(f"INSERT INTO {table} (value) VALUES (2)")  # the one that had it just now
    others.join()
    assert run(f"SELECT value FROM {table} ORDER BY id") == ((1,), (2,))


def test_a_full_pool_raises_pool_timeout_after_its_time(use):
    use(MAX_CONNS=1, POOL_TIMEOUT=1)
    with transaction.atomic():
        run("SELECT 1")
        (error,) = Threads(1, lambda number: run("SELECT 1")).join()
    assert isinstance(error, OperationalError)
    assert isinstance(error.__cause__, PoolTimeout)
    assert "1 of 1 are in use" in str(error)
    assert stats()["default"]["timeouts"] == 1


def test_a_health_check_waits_for_a_full_pool_once_and_not_twice(use):
    from django.db import connections

    use(MAX_CONNS=1, POOL_TIMEOUT=1)
    connections.databases["default"]["CONN_HEALTH_CHECKS"] = True
    idle, full = threading.Event(), threading.Event()

    def client(number):
        run("SELECT 1")
        end_request()
        idle.set()
        assert full.wait(20)
        run("SELECT 1")

    try:
        clients = Threads(1, client)
        assert idle.wait(20)
        with transaction.atomic():
            run("SELECT 1")
            full.set()
            (error,) = clients.join()
    finally:
        connections.databases["default"]["CONN_HEALTH_CHECKS"] = False
    assert isinstance(error.__cause__, PoolTimeout)
    assert stats()["default"]["timeouts"] == 1


def test_a_timeout_in_the_queue_loses_no_slot(use):
    for _ in range(3):
        use(MAX_CONNS=2, POOL_TIMEOUT=20)
        connection.close()
        with transaction.atomic():
            run("SELECT 1")
            use(MAX_CONNS=2, POOL_TIMEOUT=0.05)
            late = Threads(20, lambda number: run("SELECT SLEEP(0.2)")).join()
            assert any(isinstance(error.__cause__, PoolTimeout) for error in late.errors)
        end_request()
    use(MAX_CONNS=2, POOL_TIMEOUT=20)
    assert Threads(2, lambda number: run("SELECT SLEEP(0.01)")).join().errors == []
    now = stats()["default"]
    assert (now["in_use"], now["waiting"]) == (0, 0)
    assert now["open"] <= 2


def test_more_than_max_waiting_are_rejected_at_once(use):
    use(MAX_CONNS=1, MAX_WAITING=3, POOL_TIMEOUT=30)
    with transaction.atomic():
        run("SELECT 1")
        waiting = Threads(3, lambda number: run("SELECT 1"))
        eventually(lambda: stats()["default"]["waiting"] == 3)
        (error,) = Threads(1, lambda number: run("SELECT 1")).join()
    assert isinstance(error.__cause__, TooManyWaiting)
    end_request()
    assert waiting.join().errors == []


def test_idle_connections_beyond_reuse_conns_are_closed(use, seen):
    use(MAX_CONNS=5, REUSE_CONNS=1, POOL_TIMEOUT=30)
    Threads(5, lambda number: run("SELECT SLEEP(0.05)")).join()
    eventually(lambda: seen.connections() == 1)


def test_a_bound_that_is_lowered_holds_from_then_on(use, seen):
    use(MAX_CONNS=5, POOL_TIMEOUT=30)
    Threads(5, lambda number: run("SELECT SLEEP(0.05)")).join()
    use(MAX_CONNS=2, POOL_TIMEOUT=30)
    connection.close()
    run("SELECT 1")
    end_request()
    eventually(lambda: seen.connections() <= 2)
    seen.forget_peak()
    assert Threads(8, lambda number: run("SELECT SLEEP(0.05)")).join().errors == []
    assert seen.peak() <= 2


def test_a_connection_is_closed_at_its_maximum_age(use, seen):
    use(age=0.3)
    run("SELECT 1")
    end_request()
    first = seen.ids()
    time.sleep(0.35)
    run("SELECT 1")
    end_request()
    run("SELECT 1")
    assert stats()["default"]["closed"].get("age", 0) >= 1
    assert seen.ids() != first


def test_idle_connections_are_closed_before_the_server_does_it(use, seen):
    use(MAX_IDLE=0.2, MAX_CONNS=5)
    # In threads: a program with a single thread has nobody who could look after its pool.
    Threads(5, lambda number: run("SELECT SLEEP(0.05)")).join()
    eventually(lambda: seen.connections() == 0)
    assert stats()["default"]["closed"]["idle"] == 5


@in_greenlets
def test_a_greenlet_that_ends_with_its_connection_does_not_keep_the_slot(use, caplog):
    import gevent

    use(MAX_CONNS=1, POOL_TIMEOUT=5)

    def forgetful():
        transaction.set_autocommit(False)
        run("SELECT 1")

    gevent.spawn(forgetful).join()
    assert run("SELECT 1") == ((1,),)
    assert "kept their connections" in caplog.text
    assert "gevent.spawn(forgetful).join()" in caplog.text  # where it was started
    assert stats()["default"]["closed"]["leaked"] == 1


@in_greenlets
def test_after_the_first_leak_the_log_tells_where_connections_were_taken(use, caplog, monkeypatch):
    import gevent

    monkeypatch.setattr("mysql_pool.reports.TELL_LEAKS_EVERY", 0)
    use(MAX_CONNS=1, POOL_TIMEOUT=5)

    def forgetful():
        transaction.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'forgotten'")

    for _ in range(2):
        gevent.spawn(forgetful).join()
        run("SELECT 1")
        end_request()
    first, second = [r.getMessage() for r in caplog.records if "kept their" in r.message]
    assert "taken at" not in first
    assert "in forgetful: cursor.execute(\"SELECT 'forgotten'\")" in second


@in_greenlets
def test_code_that_forgets_with_every_call_does_not_fill_the_log(use, caplog, monkeypatch):
    import gevent

    use(MAX_CONNS=2, MAX_IDLE=1)

    def forget(times):
        before = stats().get("default", {}).get("closed", {}).get("leaked", 0)
        for _ in range(times):
            gevent.spawn(lambda: (transaction.set_autocommit(False), run("SELECT 1"))).join()
        eventually(lambda: stats()["default"]["closed"].get("leaked", 0) == before + times)

    def told():
        return [line for line in caplog.messages if "kept their connections" in line]

    forget(1)
    forget(3)
    forget(1)
    assert len(told()) == 1
    assert "default: 1 greenlets" in told()[0]
    monkeypatch.setattr("mysql_pool.reports.TELL_LEAKS_EVERY", 0)  # the minute has passed
    run("SELECT 1")  # an empty pool is not looked after
    eventually(lambda: len(told()) == 2)
    assert "default: 4 greenlets" in told()[1]


def test_options_that_stock_django_accepts_are_accepted(use):
    use(autocommit=True, reconnect=True)
    connection.close()
    assert run("SELECT @@autocommit") == ((1,),)


def test_an_option_that_would_lose_writes_is_refused(use):
    from django.core.exceptions import ImproperlyConfigured

    use(autocommit=False)
    connection.close()
    with pytest.raises(ImproperlyConfigured, match="AUTOCOMMIT beside OPTIONS"):
        run("SELECT 1")
    use()


def test_wrong_options_are_refused_by_name(use):
    from django.core.exceptions import ImproperlyConfigured

    for option in (
        {"MAX_CONNS": 0},
        {"MAX_CONNS": "10"},
        {"MAX_CONNS": True},
        {"POOL_TIMEOUT": -1},
        {"MAX_WAITING": 1.5},
        {"RELEASE": "never"},
        {"MAX_IDLE": None},
        {"HOST_CONNS": 0},
        {"GUARANTEED": 0},
        {"STATIC_CONNS": "2"},
        {"LEDGER": "connections", "HOST_CONNS": 5},
        {"LEDGER": "/run/site/connections"},
        {"ROLE": "a word that is longer than 24 bytes"},
    ):
        use(**option)
        connection.close()
        with pytest.raises(ImproperlyConfigured, match=next(iter(option))):
            run("SELECT 1")
        use()
