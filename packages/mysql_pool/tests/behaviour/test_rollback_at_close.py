"""A server that has closed a connection's socket rolls back, and counts it until that is done.

In a transaction of many rows this takes seconds, in which a slot that is free already is a
connection too many.
"""

import time
from contextlib import suppress

from django.db import Error, connection, transaction

from mysql_pool import stats
from packages.mysql_pool.tests.behaviour.scene import Seen, Threads, end_request, eventually, run

ROWS = 150_000


def many_rows(table):
    """An INSERT that takes the server a while to undo."""
    several = " UNION ALL ".join("SELECT 1" for _ in range(10))
    product = ", ".join(f"({several}) t{n}" for n in range(6))
    run(f"INSERT INTO {table} (value) SELECT 1 FROM {product} LIMIT {ROWS}")


def transaction_that_is_lost(table):
    with suppress(Error), transaction.atomic():
        many_rows(table)
        connection.connection.held.hang_up()  # as a network that is gone
        run("SELECT 1")
    end_request()


def test_a_slot_is_free_when_the_server_has_rolled_back(use, new_server, request):
    own = new_server(performance_schema="ON")  # MySQL tells it there only
    use(own, MAX_CONNS=3, POOL_TIMEOUT=60)
    table = request.getfixturevalue("table")
    seen = Seen(own)
    seen.forget_peak()
    lost = Threads(2, lambda number: transaction_that_is_lost(table))
    eventually(lambda: stats()["default"]["closing"] > 0, 60)

    def others(number):
        end = time.monotonic() + 3
        while time.monotonic() < end:
            run("SELECT SLEEP(0.01)")
            end_request()

    working = Threads(6, others)
    assert working.join().errors == lost.join().errors == []
    eventually(lambda: stats()["default"]["closing"] == 0, 60)
    assert seen.peak() <= 3
    assert run(f"SELECT COUNT(*) FROM {table}") == ((0,),)
    seen.close()
