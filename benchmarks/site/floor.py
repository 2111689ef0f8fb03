"""The floor: what gevent, Gunicorn and the driver cost when there is nothing else.

The same pages from a queue of open connections, without Django, without checks, without recovery:
nobody should serve like this, and nobody can be much faster.
"""

import json
import os
import random
import time

import gevent.queue
import pymysql

from benchmarks.peers import DATABASE, POOL

COLUMNS = "SELECT id, name, price, stock, changed FROM item"

free = gevent.queue.LifoQueue()
for _ in range(POOL):
    free.put(None)  # opened when it is first needed


def run(connection, sql, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return cursor.fetchall()


def borrow(work):
    connection = free.get()
    try:
        if connection is None:
            connection = pymysql.connect(
                unix_socket=os.environ["BENCH_SOCKET"],
                user=DATABASE,
                password=DATABASE,
                database=DATABASE,
                autocommit=True,
                ssl_disabled=True,
            )
        return work(connection)
    finally:
        free.put(connection)


def as_dict(row):
    return {"id": row[0], "name": row[1], "price": str(row[2]), "stock": row[3]}


def get(connection, ending=""):
    key = random.randint(1, 1000)  # noqa: S311
    return run(connection, f"{COLUMNS} WHERE id = %s {ending}", key)[0]


def row():
    return as_dict(borrow(get))


def rows():
    return {"items": [as_dict(r) for r in borrow(lambda c: run(c, f"{COLUMNS} LIMIT 200"))]}


def write():
    def work(connection):
        connection.begin()
        found = get(connection, "FOR UPDATE")
        run(connection, "UPDATE item SET stock = %s WHERE id = %s", found[3] + 1, found[0])
        connection.commit()
        return as_dict(found)

    return borrow(work)


def elsewhere():
    found = row()
    time.sleep(0.05)
    return found


def slow():
    return {"slept": borrow(lambda connection: run(connection, "SELECT SLEEP(0.1)"))[0][0]}


PAGES = {f"/{page.__name__}/": page for page in (row, rows, write, elsewhere, slow)}


def application(environ, start_response):
    body = json.dumps(PAGES[environ["PATH_INFO"]]()).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
