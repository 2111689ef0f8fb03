"""How many statements the server gets, by its own counter."""

import threading
from contextlib import suppress

import pytest
from django.db import connection, transaction

from packages.mysql_pool.tests.behaviour.scene import (
    DRIVER,
    RELEASE,
    Threads,
    end_request,
    eventually,
    in_transaction_mode,
    run,
)


@pytest.fixture
def cost(seen):
    """Statements that the server counted in a block."""

    def cost(function):
        run("SELECT 1")
        end_request()  # a warm pool
        eventually(seen.alone)  # whoever set the database up: a late COM_QUIT is a statement too
        own = -seen.statements() + seen.statements()
        before = seen.statements()
        function()
        return seen.statements() - before - own

    return cost


def test_a_one_query_request_sends_one_statement(cost):
    def request():
        run("SELECT 1")
        end_request()

    assert cost(request) == 1


def test_a_new_greenlet_or_thread_costs_no_statement(cost):
    from packages.mysql_pool.tests.behaviour.scene import Threads

    def request(number):
        run("SELECT 1")
        end_request()

    assert cost(lambda: [Threads(1, request).join() for _ in range(10)]) == 10


def test_a_transaction_of_one_query_costs_two_round_trips_or_three(cost, monkeypatch):
    from mysql_pool.base import driver

    method = {"pymysql": "_write_bytes", "mysqlclient": "_ask"}[DRIVER]
    send, sent = getattr(driver.Connection, method), []
    monkeypatch.setattr(driver.Connection, method, lambda *args: (sent.append(1), send(*args))[1])

    def request():
        sent.clear()
        with transaction.atomic():
            run("SELECT 1")
        end_request()

    # Autocommit off (twice where it travels with the statement), the query, autocommit on.
    assert cost(request) == {"pymysql": 4, "mysqlclient": 3}[DRIVER]
    assert len(sent) == {"pymysql": 2, "mysqlclient": 3}[DRIVER]


def test_a_transaction_that_is_rolled_back_costs_no_more(cost, table):
    def request():
        with suppress(KeyError), transaction.atomic():
            run(f"INSERT INTO {table} (value) VALUES (1)")
            raise KeyError
        end_request()

    # The next statement switches autocommit on. Where the connection is kept, mysqlclient does so
    # at once: it cannot know that no transaction is open.
    kept = RELEASE == "request"
    assert cost(request) == {"pymysql": 4, "mysqlclient": 4 if kept else 3}[DRIVER]


def test_an_empty_transaction_costs_nothing(cost):
    def request():
        with transaction.atomic():
            pass
        end_request()

    assert cost(request) == 0


def test_a_pool_asks_for_server_data_once(cost):
    def requests():
        for _ in range(5):
            connection.close()
            assert connection.mysql_version >= (8,)
            run("SELECT 1")
            end_request()

    run("SELECT 1")
    connection.mysql_server_data  # noqa: B018
    assert cost(requests) == 5


@in_transaction_mode
def test_the_connection_is_free_while_the_request_does_something_else(use):
    use(MAX_CONNS=1, POOL_TIMEOUT=20)
    together = threading.Barrier(10)

    def request(number):
        run("SELECT 1")
        together.wait(20)  # with the only connection held, nobody else would come here
        run("SELECT 1")
        end_request()

    assert Threads(10, request).join().errors == []
