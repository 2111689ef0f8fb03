"""What stands around a program in the worker: the administrator, the tables, other threads.

Knows Django's connections, and of the pool only its public functions.
"""

import contextlib
import threading
import time

import pymysql
from django.core.signals import request_finished
from django.db import connections

from .statements import DATABASE, LOCK, MORE_SCHEMA, SCHEMA, USER

#: Seconds in which a server is done with a connection that was closed. Only a leak takes as long.
SETTLE = 0.5


class Scene:
    """The administrator's connection, and what is done between two programs."""

    def __init__(self, configuration: dict) -> None:
        self.configuration = configuration
        self.pool = None
        if configuration["engine"] == "mysql_pool":
            import mysql_pool

            self.pool = mysql_pool
        self._admin = self.connect()

    def connect(self) -> pymysql.connections.Connection:
        """A connection of the administrator's; not of the account that programs use."""
        return pymysql.connect(
            unix_socket=self.configuration["socket"],
            user=self.configuration["administrator"],
            autocommit=True,
            ssl_disabled=True,
            init_command="SET SESSION lock_wait_timeout = 1",
        )

    def admin(self, statement: str, args: object = None) -> list[tuple]:
        """Run a statement as the administrator; the rows."""
        with self._admin.cursor() as cursor:
            cursor.execute(statement, args)
            return list(cursor.fetchall())

    def held(self) -> int:
        """How many connections the pool says are in use."""
        return self.pool.stats().get("default", {}).get("in_use", 0) if self.pool else 0

    def connections(self) -> list[int]:
        """The server's numbers of the connections that the worker has."""
        rows = self.admin("SELECT id FROM information_schema.processlist WHERE user = %s", [USER])
        return [row[0] for row in rows]

    def transactions(self) -> int:
        """How many transactions the worker's connections have open."""
        mine = {f"MySQL thread id {number}," for number in self.connections()}
        return sum(
            ", ACTIVE" in one.partition("\n")[0] and any(number in one for number in mine)
            for one in self._all_transactions()
        )

    def somebody_waits(self) -> bool:
        """Whether a transaction, anybody's, waits for a row."""
        return any("LOCK WAIT" in one for one in self._all_transactions())

    def _all_transactions(self) -> list[str]:
        # Not information_schema.innodb_trx: that is a copy, which is not renewed for 0.1 s after
        # it was last read.
        ((_, _, status),) = self.admin("SHOW ENGINE INNODB STATUS")
        return status.split("---TRANSACTION ")[1:]

    def lock_is_used(self) -> bool:
        """Whether anybody has the lock that programs take."""
        return self.admin("SELECT IS_USED_LOCK(%s)", [LOCK])[0][0] is not None

    def is_settled(self) -> bool:
        """Whether nothing of the request is left at the server."""
        if self.pool is None:
            return not self.connections()
        return not self.transactions() and not self.lock_is_used() and not self.held()

    # -- between two programs --------------------------------------------------------------

    def prepare(self) -> None:
        """The same tables and no connections, whatever was before."""
        self._end_all_connections()
        self.admin(f"DROP DATABASE IF EXISTS {DATABASE}")
        self.admin(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
        self.admin(f"USE {DATABASE}")
        for statement in SCHEMA:
            self.admin(statement)
        for statement in MORE_SCHEMA:
            with contextlib.suppress(pymysql.MySQLError):
                self.admin(statement)

    def close(self) -> int:
        """Close all connections as a process does at its end; how many are left at the server."""
        with contextlib.suppress(Exception):
            connections.close_all()
        with contextlib.suppress(AttributeError):
            del connections["default"]
        if self.pool:
            self.pool.close_pool()
        eventually(lambda: not self.connections())
        return len(self.connections())

    def _end_all_connections(self) -> None:
        for number in self.connections():
            with contextlib.suppress(pymysql.MySQLError):
                self.admin(f"KILL {number}")
        eventually(lambda: not self.connections())
        with contextlib.suppress(pymysql.MySQLError):
            for _, size, _, name in self.admin("XA RECOVER"):
                self.admin(f"XA ROLLBACK '{name[:size]}'")


def eventually(condition, seconds: float = SETTLE) -> bool:
    """Wait for what the server does by itself; whether it came."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def end_request() -> None:
    """What Django's handler does when a response has been sent."""
    request_finished.send(sender="differential")


def as_another_user(function, *args):
    """Call a function in a thread (a greenlet under gevent), with a request of its own."""
    result = []

    def work():
        try:
            result.append(function(*args))
        except BaseException as error:
            result.append({"error": repr(error)})
        finally:
            try:
                end_request()
            finally:
                connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result[0]
