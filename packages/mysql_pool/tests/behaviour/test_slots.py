"""A slot is never lost, and never given away twice, whatever happens to who had it."""

import _thread
import gc
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress

import pytest
from django.db import OperationalError, close_old_connections, connection, connections, transaction

from mysql_pool import close_pool, pinned, stats
from mysql_pool.concurrency import patched
from mysql_pool.errors import PoolTimeout
from packages.mysql_pool.tests.behaviour.scene import (
    DATABASE,
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


def all_slots_work(bound):
    """So many connections can be had at the same time; then none is in use."""
    together = threading.Barrier(bound)

    def hold(number):
        with transaction.atomic():
            run("SELECT 1")
            together.wait(30)
        end_request()

    assert Threads(bound, hold).join().errors == []
    whole_again(bound)


in_threads = pytest.mark.skipif(patched(), reason="greenlets: neither threads nor signals")


# -- who forgets it --------------------------------------------------------------------------


def test_wrappers_that_are_dropped_without_close_give_their_slots_back(use):
    use(MAX_CONNS=2, POOL_TIMEOUT=10)
    for number in range(5):
        copy = connection.copy()
        with copy.cursor() as cursor:
            cursor.execute("SET @mine = %s", [number])
        del copy, cursor
        gc.collect()
    assert run("SELECT @mine") == ((None,),)
    end_request()
    all_slots_work(2)


def test_connect_can_be_called_again_and_again(use):
    use(MAX_CONNS=2, POOL_TIMEOUT=10)
    for _ in range(5):
        connection.connect()
    assert run("SELECT 1") == ((1,),)
    end_request()
    all_slots_work(2)


@in_transaction_mode
def test_asking_for_an_attribute_that_is_not_there_takes_no_connection():
    connection.ensure_connection()
    assert not hasattr(connection.connection, "get_dsn_parameters")
    assert stats()["default"]["in_use"] == 0


@in_transaction_mode
@pytest.mark.parametrize("how", ["ensure_connection", "cursor", "connect"])
def test_to_be_ready_for_statements_holds_no_connection(use, how):
    use(MAX_CONNS=2, POOL_TIMEOUT=20)
    ready, go_on = [], threading.Event()

    def worker(number):
        getattr(connection, how)()
        ready.append(number)
        go_on.wait(20)

    workers = Threads(5, worker)
    eventually(lambda: len(ready) == 5)
    assert run("SELECT 1") == ((1,),)
    assert stats()["default"]["in_use"] == 0
    go_on.set()
    assert workers.join().errors == []


def test_the_end_of_another_request_does_not_end_a_pinned_block(use):
    use(MAX_CONNS=2)
    with pinned():
        run("SET @mine = 1")
        before = run("SELECT CONNECTION_ID()")
        close_old_connections()  # what the test client does, or a command called in a view
        assert run("SELECT CONNECTION_ID(), @mine") == ((before[0][0], 1),)
        assert stats()["default"]["in_use"] == 1
    end_request()
    assert stats()["default"]["in_use"] == 0


def test_a_thread_that_python_did_not_start_gives_its_slot_back_when_it_ends(use):
    use(MAX_CONNS=1, POOL_TIMEOUT=10)
    done = threading.Event()

    def as_mod_wsgi_does():
        run("SET @mine = 1")
        done.set()

    _thread.start_new_thread(as_mod_wsgi_does, ())
    assert done.wait(20)
    assert run("SELECT @mine") == ((None,),)
    assert stats()["default"]["closed"] == {"leaked": 1}


# -- who is interrupted ----------------------------------------------------------------------


class SoftLimitError(Exception):
    """As Celery's SoftTimeLimitExceeded."""


@pytest.fixture
def soft_limit():
    """``soft_limit(seconds)``: a signal handler raises `SoftLimitError` after so long; 0: never."""

    def strike(*_):
        raise SoftLimitError

    # pytest-timeout uses it as well.
    others, timer = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, strike)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, others)
    signal.setitimer(signal.ITIMER_REAL, *timer)


@in_threads
def test_a_signal_handler_that_raises_at_any_moment_loses_no_slot(use, seen, soft_limit):
    use(MAX_CONNS=1, POOL_TIMEOUT=10)
    seed = int(os.environ.get("POOL_SEED", random.randrange(10**6)))
    print("POOL_SEED", seed)
    dice = random.Random(seed)
    seen.forget_peak()
    run("SELECT 1")
    limits, wrong = 0, []
    for number in range(1500):
        try:
            soft_limit(dice.random() * 0.001 + 1e-5)
            for _ in range(2):
                if run("SELECT %s, @left", [number]) != ((number, None),):
                    wrong.append(number)
            if number % 5 == 0:
                run("SET @left = 1")
            soft_limit(0)
        except SoftLimitError:
            limits += 1
        soft_limit(0)
        end_request()
    assert wrong == []
    assert limits > 50
    assert seen.peak() <= 1
    all_slots_work(1)
    assert stats()["default"]["waiting"] == 0


@in_threads
def test_a_signal_handler_that_raises_while_the_request_ends_loses_no_slot(use, soft_limit):
    use(MAX_CONNS=1, POOL_TIMEOUT=10)
    dice = random.Random(7)
    for _ in range(100):
        run("SET @left = 1")
        with suppress(SoftLimitError):
            soft_limit(dice.random() * 0.0005 + 1e-5)
            # What Django does then; not its signal, whose other receivers do not bear it: asgiref
            # keeps the lock of its Local when an exception strikes behind acquire().
            connection.close_if_unusable_or_obsolete()
            soft_limit(0)
        soft_limit(0)
        end_request()
        assert run("SELECT @left") == ((None,),)
        end_request()
    all_slots_work(1)


@in_threads
def test_when_no_thread_can_be_started_statements_work_and_slots_come_back(use, monkeypatch):
    use(MAX_CONNS=2, POOL_TIMEOUT=10, REUSE_CONNS=0)
    start = threading.Thread.start
    with monkeypatch.context() as without:

        def cannot(thread):
            if thread.daemon:
                raise RuntimeError("can't start new thread")
            start(thread)

        without.setattr(threading.Thread, "start", cannot)
        for number in range(2):
            assert run("SELECT %s", [number]) == ((number,),)
            end_request()  # closes the connection: somebody has to wait for the server's end
    for number in range(4):
        assert run("SELECT %s", [number]) == ((number,),)
        end_request()
    eventually(lambda: stats()["default"]["open"] == 0)


@in_threads
def test_the_keeper_goes_on_after_an_error(use, monkeypatch):
    use(MAX_CONNS=4, MAX_IDLE=0.2)
    start, refused = threading.Thread.start, []

    def cannot(thread):
        if thread.name.endswith("_see_off"):
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", cannot)
        Threads(4, lambda number: (run("SELECT SLEEP(0.1)"), end_request())).join()
        eventually(lambda: refused)
    eventually(lambda: stats()["default"]["open"] == 0)
    Threads(4, lambda number: (run("SELECT SLEEP(0.1)"), end_request())).join()
    eventually(lambda: stats()["default"]["open"] == 0)


def test_close_pool_while_others_check_out_disturbs_nobody(use, seen):
    use(MAX_CONNS=20, POOL_TIMEOUT=30)
    seen.forget_peak()
    stop = threading.Event()

    def client(number):
        while not stop.is_set():
            assert run("SELECT %s", [number]) == ((number,),)
            end_request()
            time.sleep(0.001)

    earlier = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        clients = Threads(20, client)
        for _ in range(15):
            Threads(10, lambda number: (run("SELECT SLEEP(0.01)"), end_request())).join()
            close_pool()
        stop.set()
        assert clients.join().errors == []
    finally:
        sys.setswitchinterval(earlier)
    assert seen.peak() <= 20
    all_slots_work(20)


def test_a_fork_while_a_statement_runs_leaves_no_connection_of_the_parent_to_the_child(use, seen):
    use(MAX_CONNS=4, POOL_TIMEOUT=10)
    run("SELECT 1")
    end_request()
    theirs = run("SELECT CONNECTION_ID()", using="other")
    end_request()
    statement = Threads(1, lambda number: run("SELECT SLEEP(1)"))
    eventually(lambda: seen.running("SLEEP(1)") == 1)
    pid = os.fork()
    if pid == 0:
        try:
            child = run("SELECT CONNECTION_ID()", using="other")
            os._exit(0 if child != theirs else 3)
        except BaseException:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert statement.join() == [((0,),)]
    assert run("SELECT CONNECTION_ID()", using="other") == theirs


# -- who waits -------------------------------------------------------------------------------


def test_a_connection_that_comes_free_serves_who_waits_for_a_slow_server(use_proxy, server):
    proxy = use_proxy(server, MAX_CONNS=2, POOL_TIMEOUT=20, connect_timeout=10)
    served = []

    def client(number):
        run("SELECT 1")
        end_request()
        served.append(number)

    with transaction.atomic():
        run("SELECT 1")
        proxy.hold()  # the server is slow to greet
        first = Threads(1, client)
        eventually(lambda: proxy.connections == 2)
    end_request()
    first.join()
    second = Threads(1, client).join()
    assert first.errors == second.errors == []
    assert len(served) == 2
    assert stats()["default"]["created"] == 1
    assert stats()["default"]["connect_errors"] == 0  # nobody waited until the connect failed
    proxy.go()
    all_slots_work(2)


@pytest.mark.parametrize("limit", ["age", "idle"])
def test_what_is_over_its_time_is_not_handed_out_by_a_program_with_one_thread(use, limit):
    use(MAX_CONNS=2, age=0.2 if limit == "age" else 60, MAX_IDLE=0.2 if limit == "idle" else 60)
    before = run("SELECT CONNECTION_ID()")
    end_request()
    time.sleep(0.25)
    assert run("SELECT CONNECTION_ID()") != before
    assert set(stats()["default"]["closed"]) == {limit}


def test_no_reuse_means_one_connection_for_each_request(use):
    use(MAX_CONNS=2, REUSE_CONNS=0)
    for request in range(1, 4):
        first = run("SELECT CONNECTION_ID()")
        assert [run("SELECT CONNECTION_ID()") for _ in range(5)] == [first] * 5
        end_request()
        assert stats()["default"]["created"] == request
        eventually(lambda: stats()["default"]["open"] == 0)


def test_a_read_timeout_frees_no_slot_before_the_server_does(use, seen):
    use(MAX_CONNS=2, POOL_TIMEOUT=20, read_timeout=1)
    seen.forget_peak()
    slow = Threads(2, lambda number: run("SELECT SLEEP(2.5)")).join()
    assert len(slow.errors) == 2
    assert Threads(2, lambda number: run("SELECT SLEEP(0.1)")).join().errors == []
    assert seen.peak() <= 2


@in_greenlets
def test_native_threads_beside_the_hub_have_connections_of_their_own(use, seen):
    import gevent

    use(MAX_CONNS=2, POOL_TIMEOUT=20)
    seen.forget_peak()
    hub = gevent.get_hub()

    def work(number):
        try:
            return run("SELECT %s, SLEEP(0.01)", [number])[0][0]
        finally:
            end_request()
            connections.close_all()

    assert work(0) == 0
    assert [hub.threadpool.apply(work, (number,)) for number in range(3)] == [0, 1, 2]
    assert work(9) == 9
    both = [hub.threadpool.spawn(work, number) for number in range(8)]
    both += [gevent.spawn(work, number) for number in range(8, 16)]
    gevent.joinall(both, timeout=60)
    assert [one.ready() and one.get() for one in both] == list(range(16))
    assert seen.peak() <= 2
    all_slots_work(2)


# -- whose it is -----------------------------------------------------------------------------


TENANTS = [DATABASE, "tenant_a", "tenant_b"]


@pytest.fixture
def use_tenants(use, server):
    """As ``use``; the account may use several databases."""

    def use_tenants(**options):
        use(**options)
        for name in TENANTS[1:]:
            server.ensure_database(name)
            server.sql(f"GRANT ALL ON {name}.* TO {USER}@'%'")

    yield use_tenants
    for name in TENANTS[1:]:
        server.sql(f"DROP DATABASE {name}")


def tenant(name):
    """A wrapper of the alias with another database."""
    copy = connection.copy()
    copy.settings_dict["NAME"] = name
    return copy


def database_of(wrapper):
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT DATABASE()")
        return cursor.fetchone()[0]


def test_settings_that_differ_share_the_bound_of_their_alias(use_tenants, seen):
    use_tenants(MAX_CONNS=2, POOL_TIMEOUT=1)
    seen.forget_peak()
    wrappers = [tenant(name) for name in TENANTS]
    for wrapper, name in zip(wrappers[:2], TENANTS, strict=False):
        wrapper.set_autocommit(False)
        assert database_of(wrapper) == name
    with pytest.raises(OperationalError) as full:
        database_of(wrappers[2])
    assert isinstance(full.value.__cause__, PoolTimeout)
    wrappers[0].close()
    assert database_of(wrappers[2]) == TENANTS[2]  # in the place of an idle one
    for wrapper in wrappers:
        wrapper.close()
    assert seen.peak() <= 2


def test_settings_that_differ_do_not_close_each_others_connections(use_tenants):
    use_tenants(MAX_CONNS=3, POOL_TIMEOUT=10)
    for _ in range(5):
        for name in TENANTS:
            wrapper = tenant(name)
            assert database_of(wrapper) == name
            wrapper.close()
    assert stats()["default"]["created"] == 3


def test_a_new_password_is_used_for_new_connections_of_the_same_pool(use, server):
    use(MAX_CONNS=2)
    run("SELECT 1")
    end_request()
    server.sql(f"ALTER USER {USER}@'%' IDENTIFIED BY 'another'")
    try:
        connections.databases["default"]["PASSWORD"] = "another"
        connections.close_all()
        with transaction.atomic():
            run("SELECT 1")  # the one that is open
            assert Threads(1, lambda number: run("SELECT 2")).join() == [((2,),)]
        end_request()
        assert stats()["default"]["created"] == 2
    finally:
        connections.databases["default"]["PASSWORD"] = PASSWORD
        use()
