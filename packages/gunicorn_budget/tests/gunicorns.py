"""Gunicorn as a test starts it, in a folder that the test has filled."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localserver.server import free_port

PATIENCE = 30  # seconds


class Gunicorn:
    """A real Gunicorn on a free port; it may still be booting, or have refused."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        pass_fds: Collection[int] = (),
        **environment: str,
    ) -> None:
        self.port, self.log = free_port(), folder / "gunicorn.log"
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *arguments],
                cwd=folder,
                env={**kept, "GUNICORN_BIND": f"127.0.0.1:{self.port}", **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
            )

    def get(self, path: str = "/") -> str:
        """Wait until it serves, then ask it; fail with its log if it ends instead."""
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self.process.poll() is None, self.output()
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    break
            except OSError:
                assert time.monotonic() < deadline, self.output()
                time.sleep(0.02)
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE
            ) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            pytest.fail(f"{error}\n{self.output()}")

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for what Gunicorn tells nobody about; fail with its log if it ends instead."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def has_said(self, text: str) -> None:
        """Wait until the text is in its log."""
        self.until(lambda: text in self.output())

    def has_ready_workers(self, number: int) -> None:
        """Wait until so many have loaded the application."""
        self.until(lambda: self.output().count("Worker ready") >= number)

    def workers(self) -> set[int]:
        """Process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(map(int, children.read_text().split()))

    def has_workers(self, number: int) -> None:
        """Wait until all have been started (Gunicorn pauses between them), and no more."""

        def there() -> bool:
            found = len(self.workers())
            assert found <= number, self.output()
            return found == number

        self.until(there)

    def signal(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End it. A worker that still boots misses the signal, so do not wait for it for long."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()  # its workers see that they have no master any more
            self.process.wait()

    def output(self) -> str:
        return self.log.read_text()


@contextmanager
def starting_in(folder: Path) -> Iterator[Callable[..., Gunicorn]]:
    """`start(*arguments, **environment)` starts one in that folder; all are stopped at the end."""
    running: list[Gunicorn] = []

    def start(*arguments: str, pass_fds: Collection[int] = (), **environment: str) -> Gunicorn:
        running.append(Gunicorn(folder, *arguments, pass_fds=pass_fds, **environment))
        return running[-1]

    try:
        yield start
    finally:
        for each in running:
            each.stop()
