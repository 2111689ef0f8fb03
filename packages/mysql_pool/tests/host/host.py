"""A host for tests: processes that share a ledger, and the server's own count of connections."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pymysql

MEMBER = Path(__file__).with_name("member.py")


class Member:
    """A process of member.py."""

    def __init__(self, url, options, *, threads=False, stderr=None):
        command = [sys.executable, str(MEMBER), "--url", url, "--options", json.dumps(options)]
        self.process = subprocess.Popen(
            command + ["--threads"] * threads,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        self.children = []

    def __call__(self, line):
        """Have it obey ``line``, and return what it tells."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        self.children = told["children"]
        return told

    def clients(self, number, seconds=0.02):
        return self(f"clients {number} {seconds}")

    @property
    def now(self):
        return self("tell")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def kill_children(self):
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self):
        self.kill_children()
        if self.process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write("quit\n")
                self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process.stdout.close()


class Counter:
    """Asks the server every 3 ms how many connections it has, its own not counted."""

    def __init__(self, server):
        self._connection = pymysql.connect(
            unix_socket=str(server.socket), user=server.administrator, autocommit=True
        )
        self.most = self.now = self.asked = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self):
        with self._connection.cursor() as cursor:
            while not self._ends.wait(0.003):
                cursor.execute("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
                self.now = int(cursor.fetchone()[1]) - 1
                self.most = max(self.most, self.now)
                self.asked += 1

    def end(self):
        self._ends.set()
        self._thread.join()
        self._connection.close()


def until(condition, seconds=30):
    """Wait for other processes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)
