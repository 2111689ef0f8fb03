"""What django-db-geventpool's README promises its users, on this pool: settings, the decorator and
its two alternatives, and the pool class.

The settings are those of its section "Settings" with this ENGINE; the functions are those of "Using
ORM when not serving requests".
"""

import sys
import time

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_finished
from django.db import OperationalError, close_old_connections, connection, transaction

from mysql_pool import errors, stats
from mysql_pool.concurrency import patched
from packages.mysql_pool.tests.behaviour.scene import Threads, eventually, run

if patched():
    import gevent
    from django_db_geventpool.backends.pool import DatabaseConnectionPool
    from django_db_geventpool.utils import close_connection

under_gevent = pytest.mark.skipif(not patched(), reason="django-db-geventpool is for gevent")


def query(number=0):
    """Holds a connection for a moment, and would keep it: the greenlet does not end its request."""
    transaction.set_autocommit(False)
    return run("SELECT %s + SLEEP(0.01)", [number])


# -- settings ----------------------------------------------------------------------------------


def test_max_conns_is_the_bound_and_reuse_conns_how_many_are_kept(use, seen):
    use(age=0, MAX_CONNS=4, REUSE_CONNS=2)
    seen.forget_peak()
    results = Threads(40, lambda number: run("SELECT %s + SLEEP(0.01)", [number])).join()
    assert results.errors == []
    assert seen.peak() <= 4
    eventually(lambda: seen.connections() == 2)


def test_conn_max_age_0_keeps_connections_in_the_pool(use, seen):
    use(age=0, MAX_CONNS=2)
    run("SELECT 1")
    request_finished.send(sender="test")
    before = seen.ids()
    run("SELECT 1")
    assert seen.ids() == before != []


def test_reuse_conns_is_max_conns_if_it_is_not_given(use, seen):
    use(age=0, MAX_CONNS=3)
    assert Threads(3, lambda number: run("SELECT SLEEP(0.1)")).join().errors == []
    assert seen.connections() == 3


def test_the_option_that_switches_djangos_pool_off_may_stay(use):
    use(pool=False)
    assert run("SELECT 1") == ((1,),)


def test_the_option_that_switches_djangos_pool_on_is_an_error_that_says_so(use):
    use(pool=True)
    with pytest.raises(ImproperlyConfigured, match="always has a pool"):
        run("SELECT 1")


# -- greenlets that serve no request -----------------------------------------------------------


def decorated():
    return close_connection(query)


def with_signal():
    def foo_func(number):
        query(number)
        request_finished.send(sender="greenlet")

    return foo_func


def with_close_old_connections():
    def foo_func(number):
        query(number)
        close_old_connections()

    return foo_func


@under_gevent
@pytest.mark.parametrize("way", [decorated, with_signal, with_close_old_connections])
def test_a_greenlet_of_ones_own_gives_its_connection_back(use, way):
    use(age=0, MAX_CONNS=1, POOL_TIMEOUT=10)
    function = way()
    greenlets = [gevent.spawn(function, number) for number in range(5)]
    gevent.joinall(greenlets, raise_error=True)
    assert stats()["default"]["in_use"] == 0
    assert "leaked" not in stats()["default"]["closed"]


@under_gevent
def test_a_decorated_function_that_fails_gives_its_connection_back_too(use):
    use(age=0, MAX_CONNS=1)

    @close_connection
    def foo_func():
        query()
        raise ValueError("of foo_func")

    with pytest.raises(ValueError, match="of foo_func"):
        gevent.spawn(foo_func).get()
    assert stats()["default"]["in_use"] == 0
    assert foo_func.__name__ == "foo_func"


# -- the pool class ----------------------------------------------------------------------------


@under_gevent
def test_the_pool_of_an_alias_is_one_of_its_class(use, seen):
    use(MAX_CONNS=3)
    pool = connection.pool
    assert isinstance(pool, DatabaseConnectionPool)
    assert (pool.maxsize, pool.size) == (3, 0)
    one = pool.get()
    with one.cursor() as cursor:
        cursor.execute("SELECT 7")
        assert cursor.fetchone() == (7,)
    assert pool.size == seen.connections() == 1
    pool.put(one)
    assert pool.size == seen.connections() == 1
    pool.close()
    eventually(lambda: pool.size == 0)
    assert seen.connections() == 0


@under_gevent
def test_a_connection_that_was_put_back_is_clean_and_of_no_more_use(use, table):
    use(MAX_CONNS=1)
    pool = connection.pool
    one = pool.get()
    one.autocommit(False)
    one.cursor().execute("INSERT INTO item (value) VALUES (1)")
    pool.put(one)
    assert run("SELECT COUNT(*) FROM item") == ((0,),)
    with pytest.raises(Exception, match="closed") as raised:
        one.cursor().execute("SELECT 1")
    assert type(raised.value).__name__ == "InterfaceError"


@under_gevent
def test_get_waits_for_what_is_put_and_wrappers_share_the_bound(use):
    use(MAX_CONNS=1)
    pool = connection.pool
    one = pool.get()
    waiting = gevent.spawn(close_connection(run), "SELECT 1")
    eventually(lambda: stats()["default"]["waiting"] == 1)
    pool.put(one)
    assert waiting.get(timeout=5) == ((1,),)


@under_gevent
def test_get_of_a_full_pool_is_an_error_after_the_timeout(use):
    use(MAX_CONNS=1, POOL_TIMEOUT=0.2)
    pool = connection.pool
    one = pool.get()
    begun = time.monotonic()
    with pytest.raises(errors.PoolTimeout):
        pool.get()
    assert time.monotonic() - begun < 2
    with pytest.raises(OperationalError):
        gevent.spawn(close_connection(run), "SELECT 1").get()
    pool.put(one)


# -- where there is no gevent ------------------------------------------------------------------


@pytest.mark.skipif(patched(), reason="gevent is there")
def test_without_gevent_neither_package_is_imported(use):
    use()
    run("SELECT 1")
    for module in ("gevent.hub", "django_db_geventpool"):
        assert module not in sys.modules
