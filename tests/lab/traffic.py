"""Constant load on a deployed site, and what came of every single request."""

import collections
import http.client
import json
import threading
import time

PATHS = ("/", "/api/products/", "/admin/login/", "/static/site.css", "/readyz")


class Traffic:
    """A context manager: `clients` threads ask for PATHS in turn, each over a connection of its
    own.

    Each pauses for `pause` seconds in between, so that the load leaves the machine to the deploy.
    `answers` counts by status, `failures` holds every request that got no answer or one of 400 and
    more; `slowest` is in seconds. A connection that is refused or reset is a failure.
    """

    def __init__(self, address, host, paths=PATHS, clients=8, pause=0.1, timeout=60):
        self.address, self.host, self.paths = address, host, paths
        self.pause, self.timeout = pause, timeout
        self.answers, self.failures, self.slowest = collections.Counter(), [], 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number):
        while not self._stop.wait(self.pause):
            path = self.paths[number % len(self.paths)]
            number += 1
            began = time.monotonic()
            try:
                result = get(self.address, self.host, path, self.timeout).status
            except (OSError, http.client.HTTPException) as error:
                result = repr(error)
            took = time.monotonic() - began
            with self._lock:
                self.answers[result] += 1
                self.slowest = max(self.slowest, took)
                if not isinstance(result, int) or result >= 400:
                    self.failures.append((path, result, round(took, 2)))

    @property
    def total(self):
        return sum(self.answers.values())

    def __str__(self):
        failed = len(self.failures)
        return f"{self.total} requests, {failed} failed, slowest {self.slowest:.1f} s"

    def wait_for(self, number, limit=60):
        """Until `number` more requests were answered."""
        goal, end = self.total + number, time.monotonic() + limit
        while self.total < goal and time.monotonic() < end:
            time.sleep(0.02)
        assert self.total >= goal, f"only {self.total} of {goal} answers within {limit} s"


def get(address, host, path="/", timeout=30):
    """One request over a new connection; its body is read."""
    connection = http.client.HTTPConnection(address, 80, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        response = connection.getresponse()
        response.text = response.read().decode(errors="replace")
        return response
    finally:
        connection.close()


def ready(address, host):
    """Whether the site says that it can serve."""
    try:
        return json.loads(get(address, host, "/readyz").text).get("ready") is True
    except (OSError, ValueError, http.client.HTTPException):
        return False


def wait_ready(address, host, limit=60):
    """Seconds until the site can serve."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if ready(address, host):
            return time.monotonic() - began
        time.sleep(0.1)
    raise AssertionError(f"{host} on {address} is not ready after {limit} s")
