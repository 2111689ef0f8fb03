"""Django with mysql_pool, and what the tests do with it.

The variant comes from the environment (see ../test_variants.py). Where a test says "thread", it is
a greenlet when gevent has patched.
"""

import os
import threading
import time
from contextlib import suppress

import django
import pymysql
import pytest
from django.conf import settings
from django.core.signals import request_finished
from django.db import connections, models

from localserver.programs import ServerError
from mysql_pool import stats
from mysql_pool.concurrency import patched

DRIVER, RELEASE = os.environ["POOL_DRIVER"], os.environ["POOL_RELEASE"]
USER, PASSWORD, DATABASE = "pool", "secret", "pooltest"

settings.configure(
    DATABASES={
        alias: {
            "ENGINE": "mysql_pool",
            "NAME": DATABASE,
            "USER": USER,
            "PASSWORD": PASSWORD,
            "HOST": "",
            "CONN_MAX_AGE": 60,
            "OPTIONS": {"DRIVER": DRIVER, "RELEASE": RELEASE, "MAX_CONNS": 5},
        }
        for alias in ("default", "other")
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    USE_TZ=True,
)
django.setup()


class Note(models.Model):
    """For what only the ORM does."""

    text = models.CharField(max_length=50)

    class Meta:
        app_label = "scene"


in_greenlets = pytest.mark.skipif(not patched(), reason="threads cannot be killed")
in_transaction_mode = pytest.mark.skipif(
    RELEASE != "transaction", reason="a request keeps its connection in this mode"
)


def run(sql, args=None, using="default"):
    """Run one statement; its rows, or None."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchall() if cursor.description else None


def end_request():
    """What Django's handler does when a response has been sent."""
    request_finished.send(sender="test")


class Threads(list):
    """Results and errors of functions that run at the same time, in the order they ended."""

    def __init__(self, number, function, *args):
        super().__init__()
        self.threads = [
            threading.Thread(target=self._run, args=(function, i, *args), daemon=True)
            for i in range(number)
        ]
        for thread in self.threads:
            thread.start()

    def _run(self, function, *args):
        try:
            self.append(function(*args))
        except Exception as error:
            self.append(error)
        finally:
            connections.close_all()

    def join(self):
        for thread in self.threads:
            thread.join()
        return self

    @property
    def errors(self):
        return [result for result in self if isinstance(result, Exception)]


def eventually(condition, seconds=10):
    """Wait for something that another process does; fails when it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def whole_again(bound=5):
    """All slots are back and the pool works."""
    eventually(lambda: stats()["default"]["in_use"] == 0)
    eventually(lambda: stats()["default"]["open"] == stats()["default"]["idle"])
    assert stats()["default"]["idle"] <= bound
    assert Threads(bound, lambda number: run("SELECT SLEEP(0.01)")).join().errors == []


class Seen:
    """The server's own view of the application's connections.

    Asked over one connection that stays: one that comes and goes would hide, in a count of the most
    at one time, a connection too many.
    """

    def __init__(self, server):
        self.server = server
        self._connection = pymysql.connect(
            unix_socket=server.socket, user=server.administrator, autocommit=True
        )

    def close(self):
        self._connection.close()

    def connections(self):
        return int(
            self._one(f"SELECT COUNT(*) FROM information_schema.processlist WHERE user='{USER}'")
        )

    def alone(self):
        """Is no other administrator's connection left?"""
        return not self._rows(
            "SELECT id FROM information_schema.processlist "
            f"WHERE user='{self.server.administrator}' AND id != CONNECTION_ID()"
        )

    def ids(self):
        rows = self.server.sql(f"SELECT id FROM information_schema.processlist WHERE user='{USER}'")
        return [row[0] for row in rows]

    def running(self, text):
        """How many of the application's connections run a statement that has ``text`` in it."""
        return int(
            self._one(
                "SELECT COUNT(*) FROM information_schema.processlist "
                f"WHERE user='{USER}' AND info LIKE '%{text}%'"
            )
        )

    def kill_all(self):
        for thread_id in self.ids():
            with suppress(ServerError):  # "unknown thread id": it ended meanwhile
                self.server.sql(f"KILL {thread_id}")

    def hold_commits(self):
        """From here on every COMMIT waits for ``let_commit``."""
        self._rows("FLUSH TABLES WITH READ LOCK")

    def let_commit(self):
        self._rows("UNLOCK TABLES")

    def forget_peak(self):
        try:
            self._rows("FLUSH GLOBAL STATUS")  # MariaDB from 11.5 on
        except pymysql.MySQLError:
            self._rows("FLUSH STATUS")

    def peak(self):
        """Most connections at one time since ``forget_peak``, without the one that asks."""
        return int(self._one("SHOW GLOBAL STATUS LIKE 'Max_used_connections'", column=1)) - 1

    def statements(self):
        """Statements of all clients so far; two calls in a row differ by their own cost."""
        return int(self._one("SHOW GLOBAL STATUS LIKE 'Questions'", column=1))

    def _one(self, sql, column=0):
        return self._rows(sql)[0][column]

    def _rows(self, sql):
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


urlpatterns: list = []  # scene is the ROOT_URLCONF of a test
