"""One variant of the suite in one process, and several of them side by side."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from localserver import processes
from localserver.server import Server

from .source import HERE, REPOSITORY

USER, PASSWORD = "conformance", "conformance"
STOP_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class Variant:
    """What is tested: a backend ("stock" or "mysql_pool"), a driver, and when it releases."""

    backend: str
    driver: str
    release: str = ""
    gevent: bool = False
    """Whether the whole process is patched by gevent, as in a gevent worker."""

    def __str__(self) -> str:
        words = [self.driver, self.release or self.backend, "gevent" if self.gevent else ""]
        return " ".join(filter(None, words))


@dataclass
class Outcome:
    """What became of one test."""

    status: str
    """``"passed"``, ``"failed"``, ``"skipped"`` or ``"expected failure"``."""
    why: str = ""
    """Traceback, or reason of a skip."""
    subtests: dict[str, str] = field(default_factory=dict)
    """Tracebacks of the failed subtests by name."""


Outcomes = dict[str, Outcome]
"""By the test's id, ``module.Class.test``."""


class RunError(Exception):
    """The suite did not run to its end; says how it ended."""


class Run:
    """The process of one variant: start it, look at its progress, read its outcomes."""

    def __init__(self, variant: Variant, python: Path, django: Path, modules: list[str]):
        self.variant = variant
        self._command = [
            str(python), *(["-m", "gevent.monkey"] if variant.gevent else []),
            "runtests.py", "--settings=conformance_settings", "--noinput",
            "--parallel=1", *modules,
        ]  # fmt: skip
        self._django = django
        self._process: subprocess.Popen | None = None
        self.seconds = 0.0
        self.total = self.done = 0

    def start(self, folder: Path, server: Server) -> None:
        """Start it; its files go to ``folder``, its databases to ``server``."""
        name = str(self.variant).replace(" ", "_")
        self.log, self._file = folder / f"{name}.log", folder / f"{name}.jsonl"
        self._file.unlink(missing_ok=True)
        described = {
            "backend": self.variant.backend,
            "driver": self.variant.driver,
            "release": self.variant.release,
            "database": name,
            "socket": server.socket,
            "user": USER,
            "password": PASSWORD,
        }
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                map(str, (HERE / "inside", folder / "packages", self._django))
            ),
            "CONFORMANCE_VARIANT": json.dumps(described),
            "CONFORMANCE_OUTCOMES": str(self._file),
        }
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        self._started = time.monotonic()
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._django / "tests",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own: the suite starts processes too, and Ctrl-C ends them all.
                start_new_session=True,
                preexec_fn=processes.child_setup(die_with_parent=True),  # noqa: PLW1509 - no threads
            )

    def ended(self) -> bool:
        """Whether it has ended by itself. Brings ``done`` and ``total`` up to date."""
        assert self._process is not None
        ended = self._process.poll() is not None
        self.seconds = time.monotonic() - self._started
        with contextlib.suppress(FileNotFoundError):
            lines = self._file.read_bytes()
            if b"\n" in lines:
                self.total = json.loads(lines.split(b"\n", 1)[0])["total"]
                self.done = min(lines.count(b"\n") - 1, self.total)
        return ended

    def stop(self) -> None:
        """End it and what it started."""
        if self._process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT)

    def outcomes(self) -> Outcomes:
        """What became of each test. Raises `RunError` if the suite broke off."""
        records = []
        if self._file.exists():
            records = [json.loads(line) for line in self._file.read_text().splitlines()]
        if {"finished": True} not in records:
            tail = self.log.read_text(errors="replace")[-2000:]
            last = next((r["test"] for r in reversed(records) if "test" in r), "none")
            raise RunError(
                f"{self.variant}: the suite broke off (exit {self._process.returncode}) after "
                f"{self.done} of {self.total} tests; the last that ended was {last}.\n{tail}"
            )
        return {record.pop("test"): Outcome(**record) for record in records if "test" in record}


def run_all(
    runs: list[Run], folder: Path, server: Server, jobs: int, tell: Callable[[list[Run]], None]
) -> None:
    """Run them, ``jobs`` at the same time; ``tell`` hears once a second which are running."""
    _link_the_package(folder)
    waiting, running = list(runs), []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(waiting.pop(0))
                running[-1].start(folder, server)
            time.sleep(1)
            still = [run for run in running if not run.ended()]
            tell(running)
            running = still
    finally:
        for run in running:
            run.stop()


def _link_the_package(folder: Path) -> None:
    """Let the runs find mysql_pool, and nothing else that would shadow what the suite imports."""
    packages = folder / "packages"
    packages.mkdir(exist_ok=True)
    link = packages / "mysql_pool"
    link.unlink(missing_ok=True)  # that of an earlier run may lead to where the package was then
    link.symlink_to(REPOSITORY / "packages/mysql_pool/src/mysql_pool")


@contextlib.contextmanager
def database_server(flavour: str) -> Iterator[Server]:
    """A private server for the time of one run, in memory where the machine has such a folder.

    Django's suite makes thousands of tables; nothing of it has to survive, so it never waits for a
    disk.
    """
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="conformance.", dir=in_memory) as folder:
        scratch = Path(folder) / "tmp"
        scratch.mkdir()
        options = {
            "max_connections": 200,
            # A folder of its own: a server that starts removes what it finds of others' temporary
            # tables in a shared one.
            "tmpdir": scratch,
            "innodb_flush_log_at_trx_commit": 0,
            "skip_innodb_doublewrite": None,
            "innodb_buffer_pool_size": "256M",
        }
        with Server(Path(folder) / "server", options, flavour) as server:
            server.ensure_account(USER, PASSWORD, "%")
            server.sql(f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION")
            _load_time_zones(server)
            yield server


def _load_time_zones(server: Server) -> None:
    """Without them CONVERT_TZ() gives NULL, and Django's tests of time zones fail everywhere."""
    names = (f"{server.programs.flavour}-tzinfo-to-sql", "mysql_tzinfo_to_sql")
    places = os.pathsep.join((os.path.dirname(server.programs.client), os.environ["PATH"]))
    program = next(filter(None, (shutil.which(name, path=places) for name in names)), None)
    if program is None:
        raise RunError(f"{names[0]} is needed, of Debian's mariadb-client")
    made = subprocess.run([program, "/usr/share/zoneinfo"], stdout=subprocess.PIPE, text=True)
    server.sql(made.stdout, "mysql")
    if server.sql("SELECT CONVERT_TZ('2026-01-01', 'UTC', 'Europe/Rome')") == [["NULL"]]:
        raise RunError(f"{program} made no time zones: tzdata is needed, in /usr/share/zoneinfo")
