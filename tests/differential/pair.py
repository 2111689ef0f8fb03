"""A private server, and two workers on it that run the same programs: stock, and the pool.

What runs in the workers is `worker.py`; here is only how they are started, asked and ended.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from localserver.server import Server
from packages.mysql_pool.tests.variants import Variant
from tests.places import REPOSITORY

from .statements import DATABASE, PASSWORD, ROLE, USER

#: A second is the shortest wait that MySQL knows, and random programs wait for locks often.
SERVER_OPTIONS = {
    "max_connections": "30",
    "innodb_buffer_pool_size": "64M",
    "innodb_lock_wait_timeout": "1",
    "lock_wait_timeout": "1",
    "max_allowed_packet": "64M",
    "innodb_flush_log_at_trx_commit": "0",
}
#: The folder that holds mysql_pool/ unless another one is asked for.
POOL = REPOSITORY / "packages/mysql_pool/src"
STOCK = "django.db.backends.mysql"
#: Seconds for one program. A handful of lock waits is as much as an honest one takes.
HUNG = 20


VARIANTS = [
    Variant("threads", "pymysql", "transaction"),
    Variant("threads", "mysqlclient", "transaction"),
    Variant("threads", "pymysql", "request"),
    Variant("threads", "mysqlclient", "request"),
    Variant("gevent", "pymysql", "transaction"),
    Variant("gevent", "mysqlclient", "transaction"),
]


@contextmanager
def private_server() -> Iterator[Server]:
    """A server with the account that programs use."""
    # In memory where that can be: programs create and drop tables all the time.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        TemporaryDirectory(prefix="differential-", dir=memory) as folder,
        Server(Path(folder, "server"), SERVER_OPTIONS) as server,
    ):
        server.ensure_database(DATABASE)
        server.ensure_account(USER, PASSWORD, DATABASE)
        # Not SUPER and the like: those skip init_connect.
        server.sql(
            f"CREATE ROLE {ROLE}; GRANT {ROLE} TO {USER}@'%';"
            f"GRANT RELOAD, PROCESS ON *.* TO {USER}@'%'"
        )
        yield server


class BrokenTest(RuntimeError):
    """A worker could not do its part; nothing is known about the pool."""


class Worker:
    """One process; started when it is first asked, and again after it was lost."""

    def __init__(self, engine: str, variant: Variant, server: Server, pool: Path) -> None:
        self._log = Path(server.folder, f"{engine}-{variant}.log".replace(" ", "-"))
        self._configuration = {
            "engine": engine,
            "driver": variant.driver,
            "release": variant.release,
            "gevent": variant.concurrency == "gevent",
            "socket": server.socket,
            "administrator": server.administrator,
        }
        self._pool = pool
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, program: list) -> dict:
        """What was seen of the program; ``{"hung": …}`` or ``{"died": …}`` if it did not end."""
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(program).encode() + b"\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], HUNG)[0]:
                self.end()
                return {"hung": f"{HUNG} s", "log_of_worker": self._end_of_log()}
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            self.end()
            return {"died": process.returncode, "log_of_worker": self._end_of_log()}
        seen = json.loads(line)
        if "broken" in seen:
            self.end()
            raise BrokenTest(f"This test itself failed:\n{seen['broken']}\nin {program}")
        if seen["connections left"] or seen["in use at the end"]:
            self.end()  # the next program has a pool whose slots are all there
        return seen

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            command = [sys.executable, "-m", "tests.differential.worker"]
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*command, json.dumps(self._configuration)],
                    cwd=REPOSITORY,
                    env={**os.environ, "PYTHONPATH": str(self._pool)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    # Ctrl-C is told to the parent, who ends the workers when it is ready.
                    start_new_session=True,
                )
        return self._process

    def _end_of_log(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])

    def end(self) -> None:
        """End the process, if there is one. It has nothing that would have to be kept."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


class Pair:
    """Stock and the pool with the same driver on the same server."""

    def __init__(
        self, variant: Variant, server: Server, pool: Path = POOL, *, stock_twice: bool = False
    ) -> None:
        self.variant = variant
        self._stock = Worker(STOCK, variant, server, pool)
        # Stock beside itself shows what differs without any pool.
        self._pool = Worker(STOCK if stock_twice else "mysql_pool", variant, server, pool)

    def run(self, program: list) -> tuple[dict, dict]:
        """What was seen on stock, and on the pool."""
        stock = self._stock.run(program)
        if "died" in stock:
            raise BrokenTest(f"The worker with stock died:\n{stock['log_of_worker']}\nin {program}")
        return stock, self._pool.run(program)

    def end(self) -> None:
        """End both workers."""
        self._stock.end()
        self._pool.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
