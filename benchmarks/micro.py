"""What costs how much inside one process. `inside` runs it with the peers' Python, by hand:

    BENCH_PEER=ours-pymysql BENCH_SOCKET=/path/of/server.sock python -m benchmarks.micro

With BENCH_CA, a file of the authority that signed the server's certificate, only connecting is
measured, with TLS.

Prints JSON. CPU is that of the process: neither other programs nor the database server count. What
is compared takes turns.
"""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402 - after patching, as in a worker
import json  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402

import django  # noqa: E402
import gevent  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection, connections  # noqa: E402

BLOCKS = 30
OPERATIONS = 100  # in one block
PAIRS, FEW = 750, 4
CONNECTS = 20


def compared(**operations):
    """Microseconds of CPU of each operation: the least of its blocks, because noise only adds."""
    seen = {name: [] for name in operations}
    for block in range(BLOCKS + 2):
        gc.collect()
        for name, operation in operations.items():
            begun = time.process_time()
            for _ in range(OPERATIONS):
                operation()
            if block > 1:  # the first two warm up
                seen[name].append((time.process_time() - begun) / OPERATIONS * 1e6)
    return {name: min(values) for name, values in seen.items()}


def cursor():
    with connection.cursor() as opened:
        opened.execute("SELECT id, name, price, stock, changed FROM item WHERE id = 7")
        return opened.fetchone()


def orm_get():
    from benchmarks.site.models import Item  # once the applications are loaded

    return Item.objects.get(pk=7)


QUERIES = {"cursor": cursor, "ORM get": orm_get}


def in_greenlet(function):
    """``function`` in a greenlet of its own, as a worker serves each new client."""
    return lambda: gevent.spawn(function).get()


def release():
    connection.close_if_unusable_or_obsolete()  # as at the end of each request


def borrowed_and_kept():
    """The same query on a connection from the pool, and on one that is simply kept.

    "kept" is the same session, pinned by hand. The two differ by less than
    this machine does from one second to the next, so few queries of the one and few of the other
    take turns, very often, and the medians are compared.
    """
    seen = {}
    for name, query in QUERIES.items():
        turns = {"borrowed": borrowed, "kept": kept}
        times = {how: [] for how in turns}
        for pair in range(PAIRS):
            for how in list(turns)[:: -1 if pair % 2 else 1]:
                times[how].append(turns[how](query))
        medians = {how: statistics.median(values) for how, values in times.items()}
        seen[f"{name}, borrowed"] = {
            "us": medians["borrowed"],
            "kept us": medians["kept"],
            "ratio": medians["borrowed"] / medians["kept"],
        }
    return seen


def borrowed(query):
    query()  # as untimed as in `kept`, where it takes the connection
    return few(query)


def kept(query):
    session = connection.connection
    session.pin_by_hand()
    query()
    microseconds = few(query)
    session.unpin_by_hand()
    return microseconds


def few(operation):
    """Microseconds of CPU of one operation, over a few."""
    begun = time.process_time_ns()
    for _ in range(FEW):
        operation()
    return (time.process_time_ns() - begun) / FEW / 1000


def hub_blocked():
    """The longest time in which no other greenlet could run while a connection was opened.

    In CPU time of the hub's thread, because on a machine that does other things too the wall's
    clock also counts those; and by the wall's clock.
    """
    connection.ensure_connection()
    connection.close()
    seen = {}
    for name, clock in (("CPU ms", time.thread_time), ("ms", time.perf_counter)):
        gaps = longest_gaps(clock)
        later = gaps[1:]  # the first one of a process loads what the others share
        seen[f"median {name}"] = statistics.median(later)
        seen[f"most {name}"] = max(later)
        seen[f"first {name}"] = gaps[0]
    return seen


def longest_gaps(clock):
    """Milliseconds for each of CONNECTS + 1 connections."""
    import mysql_pool  # which only our own peers have

    connection.ensure_connection()
    session, gaps = connection.connection, []
    for _ in range(CONNECTS + 1):
        mysql_pool.close_pool()
        while mysql_pool.stats()["default"]["open"]:
            gevent.sleep(0.001)
        opening = gevent.spawn(session.checkout)
        longest, last = 0.0, clock()
        while not opening.dead:
            # Not 0: the thread that connects for mysqlclient would get no turn.
            gevent.sleep(0.0001)
            now = clock()
            longest, last = max(longest, now - last), now
        opening.get()
        session.release_between_transactions()
        gaps.append(longest * 1e3)
    return gaps


def main():
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.site.settings"
    django.setup()
    if "BENCH_CA" in os.environ:
        print(json.dumps({"hub blocked while connecting, TLS": hub_blocked()}))
        return
    seen = {
        "query in the same greenlet": compared(**QUERIES),
        "in a new greenlet": compared(
            nothing=in_greenlet(lambda: None),
            wrapper=in_greenlet(lambda: connections["default"]),
        ),
    }
    if settings.PEER.ours:
        seen.update(borrowed_and_kept())
        seen["query in a new greenlet"] = compared(
            **{n: in_greenlet(lambda q=q: (q(), release())) for n, q in QUERIES.items()}
        )
        seen["hub blocked while connecting"] = hub_blocked()
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
