"""One peer behind Gunicorn, and the table that all of them read."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from benchmarks.peers import DATABASE, Peer
from benchmarks.site.logs import MARK
from localserver.processes import child_setup
from localserver.server import Server, free_port

REPOSITORY = Path(__file__).parents[1]
TEMPLATE = REPOSITORY / "{{cookiecutter.project_slug}}"
TICKS = os.sysconf("SC_CLK_TCK")
START_TIMEOUT = 30.0  # seconds
STOP_TIMEOUT = 10.0
CLIENTS_OF_A_WORKER = 4000  # Gunicorn's worker_connections: more than any run has

#: How a traceback ends, and a line of `LastLine`.
EXCEPTION = re.compile(
    rf"(?:{MARK})?[\w.]*(?:Error|Exception|Configured)\b:"
    r"|No module named |cannot import "  # of an ImportError Gunicorn prints the text only
)

#: A real default, so that a peer without a bound meets the limit that people meet.
SERVER_OPTIONS = {"max_connections": "151", "innodb_buffer_pool_size": "128M"}

TABLE = """
CREATE TABLE item (
    id bigint PRIMARY KEY AUTO_INCREMENT, name varchar(100) NOT NULL, price decimal(8, 2) NOT NULL,
    stock int NOT NULL, changed datetime(6) NOT NULL);
INSERT INTO item (name, price, stock, changed)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    SELECT CONCAT('Item number ', i), i / 7, i, NOW(6) FROM n;
"""


class Broken(RuntimeError):
    """A peer that does not serve; the text is its own error."""


def prepare(server: Server) -> None:
    """Create the database, its account and 1000 rows."""
    server.ensure_database(DATABASE)
    server.ensure_account(DATABASE, DATABASE, DATABASE)
    server.sql(TABLE, DATABASE)


class Serving:
    """Gunicorn with one peer; a context manager. ``python`` has the peers' packages."""

    def __init__(self, peer: Peer, python: str, socket: str, log: Path) -> None:
        self.peer = peer
        self.port = free_port()
        self.log = log
        self._command = [
            *(python, "-m", "gunicorn", peer.application, "--bind", f"127.0.0.1:{self.port}"),
            *(() if peer.as_generated else ("--worker-class", peer.worker_class)),
            *("--workers", str(peer.workers), "--threads", str(peer.threads)),
            *("--worker-connections", str(CLIENTS_OF_A_WORKER), "--keep-alive", "15"),
            *("--log-level", "warning", "--no-control-socket"),
            *(("--config", str(TEMPLATE / "gunicorn.conf.py")) if peer.as_generated else ()),
        ]
        self._environment = {
            **os.environ,
            "BENCH_PEER": peer.name,
            "BUDGET_FILE": os.devnull,  # the budget's defaults, for `as_generated`
            "BENCH_SOCKET": socket,
            "BENCH_LEDGER": str(log.parent / "ledger" / "connections"),
            "PYTHONPATH": f"{REPOSITORY}:{TEMPLATE}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._master: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Serving":
        with self.log.open("wb") as output:
            self._master = subprocess.Popen(
                self._command,
                cwd=TEMPLATE if self.peer.as_generated else REPOSITORY,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C ends the runner, and the runner ends this
                preexec_fn=child_setup(die_with_parent=True),  # noqa: PLW1509 - no threads here
            )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._master is not None
        self._master.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):  # requests may hang
            self._master.wait(STOP_TIMEOUT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._master.pid, signal.SIGKILL)  # workers that outlived it
        self._master.wait()

    def _wait_until_it_listens(self) -> None:
        assert self._master is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._master.poll() is not None:
                raise Broken(self.last_words())
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_TIMEOUT)
            try:
                connection.request("GET", "/row/")
                connection.getresponse().read()
                return
            except OSError:
                time.sleep(0.02)  # Gunicorn tells nobody when its workers are ready
            finally:
                connection.close()
        raise Broken(f"did not answer within {START_TIMEOUT:.0f} s; {self.last_words()}")

    def reload(self) -> None:
        """Have Gunicorn replace its workers, old and new ones side by side."""
        assert self._master is not None
        self._master.send_signal(signal.SIGHUP)

    def probe(self, path: str) -> None:
        """One request. Raises `Broken` unless the answer is 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_TIMEOUT)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except OSError as error:
            raise Broken(f"{error!r}; {self.last_words()}") from error
        finally:
            connection.close()
        if status != 200:
            raise Broken(f"{status}; {self.last_words()}")

    def last_words(self) -> str:
        """The last exception in the log, or its last line."""
        lines = self.log.read_text(errors="replace").splitlines()
        named = [line for line in lines if EXCEPTION.match(line)]
        return (named or lines or ["no word in its log"])[-1].strip().removeprefix(MARK)

    def failures(self) -> Counter[str]:
        """What Django logged for failed requests since the start, and how often."""
        lines = self.log.read_text(errors="replace").splitlines()
        return Counter(line.removeprefix(MARK) for line in lines if line.startswith(MARK))

    def cpu(self) -> float:
        """Seconds of CPU that Gunicorn's processes have used, user and system."""
        assert self._master is not None
        master = self._master.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return sum(_cpu(pid) for pid in [str(master), *children])


def _cpu(pid: str) -> float:
    # Fields 14 and 15 of `man 5 proc`; the name, field 2, may hold spaces and parentheses.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
