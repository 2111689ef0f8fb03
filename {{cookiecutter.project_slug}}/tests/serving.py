"""Gunicorn as a test starts it: a real process on a free port of this machine."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from localserver.server import free_port

PATIENCE = 30  # seconds; nothing takes as long unless something is wrong


class Gunicorn:
    """A Gunicorn with the project's gunicorn.conf.py. It may still be booting, or have refused."""

    def __init__(
        self,
        project: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        pass_fds: Collection[int] = (),
    ) -> None:
        self.port = free_port()
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *arguments],
                cwd=project,
                env={**environment, "GUNICORN_BIND": f"127.0.0.1:{self.port}"},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
            )

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text()

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.process.wait(PATIENCE)

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Connection": "close", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that Gunicorn tells nobody about; fail with its log."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def wait(self) -> "Gunicorn":
        """Return when all its workers serve; fail with its log if it ends instead."""

        def ready() -> bool:
            assert self.process.poll() is None, self.output()
            log = self.output()
            planned = re.search(r"Connection budget: (\d+) workers", log)
            return planned is not None and log.count("Worker ready") >= int(planned[1])

        self.until(ready)
        return self

    def workers(self) -> set[int]:
        """Process ids of the workers that live."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {pid for pid in map(int, children.split()) if not _is_zombie(pid)}

    def gauges(self, name: str, **labels: str) -> dict[int, float]:
        """A metric of each worker, by its process id; asks until all of them have answered."""
        values: dict[int, float] = {}

        def ask() -> bool:
            self.get("/readyz")  # opens the pool
            for family in text_string_to_metric_families(self.get("/metrics")[1]):
                for sample in family.samples:
                    wanted = {"alias": "default", **labels}.items()
                    if sample.name == name and wanted <= sample.labels.items():
                        values[int(sample.labels["pid"])] = sample.value
            return bool(self.workers()) and values.keys() >= self.workers()

        self.until(ask)
        return values

    def signal(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it as systemd would: TERM, then KILL. A worker that still boots misses the TERM."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()  # its workers see that they have no master any more
            self.process.wait()


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def end(pid: int) -> None:
    """End one process as the kernel does when memory is short."""
    os.kill(pid, signal.SIGKILL)
