"""Gunicorn outside of any generated project, for parts that were copied there."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from localserver.server import free_port

PATIENCE = 30  # seconds


class Gunicorn:
    """Gunicorn in a foreign folder."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.port, self.log = free_port(), folder / "gunicorn.log"
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *arguments],
                cwd=folder,
                env={**kept, "GUNICORN_BIND": f"127.0.0.1:{self.port}", **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
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

    def has_ready_workers(self, number: int) -> None:
        """Wait until so many have loaded the application; fail with its log if it ends instead."""
        deadline = time.monotonic() + PATIENCE
        while self.output().count("Worker ready") < number:
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)  # Gunicorn tells only its log

    def has_workers(self, number: int) -> None:
        """Wait until all have been started (Gunicorn pauses between them), and no more."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + PATIENCE
        while (found := len(children.read_text().split())) != number:
            assert found < number, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

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
