"""Workers with a copied gunicorn.conf.py: whom they serve when, and what they hold on to."""

import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.bake.gunicorns import PATIENCE, Gunicorn

#: Requests that a busy client sends at once, without waiting for an answer.
AT_ONCE = 2000
BUSY = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * AT_ONCE

#: Answers with the worker's pid and how many requests that worker had before; each takes a
#: millisecond, and waits for nothing that gevent knows of.
APPLICATION = """
import itertools
import os
from gevent import monkey

sleep = monkey.get_original("time", "sleep")
number = itertools.count()

def application(environ, start_response):
    sleep(0.001)
    body = b"%d %d" % (os.getpid(), next(number))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def gevent_workers(gunicorn: Callable[..., Gunicorn], tmp_path: Path, template: Path) -> Gunicorn:
    """Two of them, ready."""
    shutil.copy(template / "gunicorn.conf.py", tmp_path)
    (tmp_path / "app.py").write_text(APPLICATION)
    server = gunicorn(
        "app",
        BUDGET_WORKER_CLASS="gevent",
        BUDGET_WORKERS="2",
        # A TERM that meets a booting worker is lost; Gunicorn ends it after this time.
        BUDGET_GRACEFUL_TIMEOUT="3",
    )
    server.has_ready_workers(2)
    return server


#: Answers with how many objects a garbage collection looks at, and how many it leaves out.
COLLECTOR = """
import gc

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"%d %d" % (len(gc.get_objects()), gc.get_freeze_count())]
"""


class Client(HTTPConnection):
    """One keep-alive connection to the application."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, timeout=PATIENCE)

    def ask(self) -> tuple[int, int]:
        """The pid of the worker that answered, and how many requests it had before this one."""
        self.request("GET", "/")
        pid, number = self.getresponse().read().split()
        return int(pid), int(number)


@pytest.fixture
def port(gevent_workers: Gunicorn) -> int:
    return gevent_workers.port


@pytest.fixture
def busy_workers(port: int) -> Iterator[set[int]]:
    """The pids of both workers; each has a client whose next requests are all there already."""
    with ExitStack() as stack:
        clients: dict[int, Client] = {}
        while len(clients) < 2:
            client = stack.enter_context(closing(Client(port)))
            clients[client.ask()[0]] = client
        for client in clients.values():
            client.sock.sendall(BUSY)
            assert client.sock.recv(1)
        yield set(clients)


def test_a_busy_client_does_not_hold_up_the_others(busy_workers: set[int], port: int) -> None:
    """Nor does it keep its worker from taking new ones, and each worker takes its part."""
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(Client(port))) for _ in range(40)]
        answers = [client.ask() for client in clients]
    assert max(number for _, number in answers) < AT_ONCE
    served_by = Counter(pid for pid, _ in answers)
    assert set(served_by) == busy_workers
    assert min(served_by.values()) >= len(clients) / 8


def test_a_reload_drops_nobody_who_was_taken(gevent_workers: Gunicorn) -> None:
    answered_by: set[int] = set()
    reloaded = threading.Event()

    def ask_until_reloaded() -> None:
        while not reloaded.is_set():
            with closing(Client(gevent_workers.port)) as client:
                answered_by.add(client.ask()[0])

    with ThreadPoolExecutor(40) as pool:
        asking = [pool.submit(ask_until_reloaded) for _ in range(40)]
        try:
            for number in (2, 4, 6):  # workers, the replaced ones too
                deadline = time.monotonic() + PATIENCE
                while len(answered_by) < number:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                gevent_workers.process.send_signal(signal.SIGHUP)
                time.sleep(1.5)  # the old workers look once a second whether they are to end
        finally:
            reloaded.set()
    assert [str(each.exception()) for each in asking if each.exception()] == []


@pytest.mark.parametrize("worker_class", ["gevent", "gthread", "sync"])
def test_what_is_loaded_is_not_looked_at_again(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path, template: Path, worker_class: str
) -> None:
    """By garbage collections, which hold up all clients of a gevent worker."""
    shutil.copy(template / "gunicorn.conf.py", tmp_path)
    (tmp_path / "app.py").write_text(COLLECTOR)
    looked_at, left_out = gunicorn("app", BUDGET_WORKER_CLASS=worker_class).get().split()
    assert int(looked_at) < int(left_out) / 10
