"""The fixtures of the pool's tests; see scene.py for what they use."""

import os
import signal

import pytest
from django.db import connection, connections

from mysql_pool import close_pool
from mysql_pool.concurrency import patched
from packages.mysql_pool.tests.behaviour.proxy import Proxy
from packages.mysql_pool.tests.behaviour.scene import (
    DATABASE,
    DRIVER,
    PASSWORD,
    RELEASE,
    USER,
    Seen,
    eventually,
    run,
)

# `make test-quick` leaves these out: the tests beside this folder have much of it without a server.
collect_ignore = (
    ["test_slots.py", "test_servers.py", "test_reset.py", "test_rollback_at_close.py"]
    if "POOL_QUICK" in os.environ
    else []
)

if patched():
    import gevent

    # Python would raise it in whatever greenlet runs, and a test's "thread" would swallow it.
    gevent.signal_handler(signal.SIGINT, gevent.getcurrent().throw, KeyboardInterrupt)


@pytest.fixture
def seen(server):
    seen = Seen(server)
    yield seen
    seen.close()


@pytest.fixture
def use(server):
    """``use(server=..., MAX_CONNS=…)`` points Django to a server with these options."""

    def use(to=server, using="default", age=60, **options):
        to.ensure_database(DATABASE)
        to.ensure_account(USER, PASSWORD, DATABASE)
        database = connections.databases[using]
        database["HOST"], database["CONN_MAX_AGE"] = str(to.socket), age
        database["OPTIONS"] = {"DRIVER": DRIVER, "RELEASE": RELEASE, "MAX_CONNS": 5, **options}

    return use


@pytest.fixture
def use_proxy(use):
    """``use_proxy(server, another, MAX_CONNS=…)`` does so over a `Proxy` that leads to them."""
    proxies = []

    def use_proxy(*servers, **options):
        if DRIVER == "mysqlclient" and "MariaDB" not in servers[0].sql("SELECT VERSION()")[0][0]:
            # 2061: MySQL's passwords want TLS over TCP, or a key that this C library does not read.
            pytest.skip("mysqlclient does not log in to MySQL over TCP without TLS")
        for one in servers:
            use(one, **options)
        proxy = Proxy(*(one.socket for one in servers))
        proxies.append(proxy)
        connections.databases["default"] |= {"HOST": "127.0.0.1", "PORT": str(proxy.port)}
        return proxy

    yield use_proxy
    connections.close_all()
    close_pool()
    connections.databases["default"]["PORT"] = ""
    for proxy in proxies:
        proxy.close()


@pytest.fixture(autouse=True)
def clean_state(server, seen, use):
    """Each test starts with no connection at the server and leaves none."""
    from mysql_pool import registry

    use()
    use(using="other")
    yield
    connections.close_all()
    for wrapper in connections.all(initialized_only=True):
        del connections[wrapper.alias]
    close_pool()
    registry.forget_pools()
    eventually(lambda: seen.connections() == 0)


@pytest.fixture
def table():
    run(
        "CREATE TABLE IF NOT EXISTS item "
        "(id INT PRIMARY KEY AUTO_INCREMENT, value INT) ENGINE=InnoDB"
    )
    run("TRUNCATE item")
    connection.close()
    return "item"
