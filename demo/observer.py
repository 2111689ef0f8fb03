"""Watches the database server over one connection of the administrator's."""

import threading
from dataclasses import dataclass

import pymysql

from localserver.server import Server

INTERVAL = 0.05  # seconds between two looks

#: Status variables that are compared before and after.
COUNTERS = (
    "Questions",
    "Connections",
    "Com_select",
    "Com_insert",
    "Com_update",
    "Com_begin",
    "Com_commit",
    "Com_rollback",
    "Com_set_option",
    "Aborted_connects",
    "Connection_errors_max_connections",
)


@dataclass(frozen=True)
class Counts:
    """The server's counters at one moment, without the observer's own statements."""

    values: dict[str, int]

    def __sub__(self, earlier: "Counts") -> "Counts":
        return Counts({name: n - earlier.values[name] for name, n in self.values.items()})

    def __getitem__(self, name: str) -> int:
        return self.values[name]


class Observer:
    """Looks every ``interval`` seconds; use as a context manager.

    ``most`` is the largest number of connections of ``account`` in one look; the server's own
    Max_used_connections, which misses nothing, counts all accounts together.
    """

    def __init__(self, server: Server, account: str, interval: float = INTERVAL) -> None:
        self._account, self._interval = account, interval
        self._connection = pymysql.connect(
            unix_socket=server.socket,
            user=server.administrator,
            database=account,
            autocommit=True,
        )
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._statements = 0
        self.now = 0
        self.most = 0
        self.looks = 0
        self.error: Exception | None = None

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._connection.close()

    def query(self, statement: str, *arguments: object) -> list[tuple]:
        with self._lock, self._connection.cursor() as cursor:
            self._statements += 1
            cursor.execute(statement, arguments)
            return list(cursor.fetchall())

    def _look(self) -> None:
        try:
            while not self._done.wait(self._interval):
                statement = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = %s"
                self.now = int(self.query(statement, self._account)[0][0])
                self.most = max(self.most, self.now)
                self.looks += 1
        except Exception as error:  # told by `check`, in the main thread
            self.error = error

    def check(self) -> None:
        """Raise what ended the looking, if anything did."""
        if self.error:
            raise self.error

    def counts(self) -> Counts:
        """The counters now."""
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS")
            self._statements += 1
            status = dict(cursor.fetchall())
            values = {name: int(status.get(name, 0)) for name in COUNTERS}
            values["Questions"] -= self._statements
            values["Com_select"] -= self._statements
            return Counts(values)

    def busy(self) -> int:
        """The account's connections that run a statement now."""
        # Not innodb_trx: looked at more often than every 100 ms it shows the same old state.
        statement = (
            "SELECT COUNT(*) FROM information_schema.processlist"
            " WHERE user = %s AND command = 'Query'"
        )
        return int(self.query(statement, self._account)[0][0])

    def max_used(self) -> int:
        """The most connections the server ever had at once, the observer's left out."""
        return int(self.query("SHOW GLOBAL STATUS LIKE 'Max_used_connections'")[0][1]) - 1
