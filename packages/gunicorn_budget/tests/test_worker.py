"""Which client a gevent worker serves when."""

import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest
from gevent.pool import Pool
from gevent.socket import socket as GeventSocket  # noqa: N812
from gunicorn.config import Config
from gunicorn.glogging import Logger

from gunicorn_budget.worker import FairGeventWorker, FairServer
from packages.gunicorn_budget.tests.examples import HOOKS, WORKER
from packages.gunicorn_budget.tests.gunicorns import PATIENCE, Gunicorn

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
def start(gunicorn: Callable[..., Gunicorn], tmp_path: Path) -> Callable[..., Gunicorn]:
    """`start(settings, *arguments)` starts two workers of the class and waits for them."""

    def two_ready(settings: str = "", *arguments: str) -> Gunicorn:
        (tmp_path / "app.py").write_text(APPLICATION)
        # A TERM that meets a booting worker is lost; Gunicorn ends it after this time.
        settings = WORKER + HOOKS + "workers = 2\ngraceful_timeout = 3\nkeepalive = 15\n" + settings
        server = gunicorn(settings, *arguments)
        server.has_ready_workers(2)
        return server

    return two_ready


@pytest.fixture
def gevent_workers(start: Callable[..., Gunicorn]) -> Gunicorn:
    return start()


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


def test_a_new_client_is_taken_after_a_request_and_not_after_one_of_each_client(
    gevent_workers: Gunicorn,
) -> None:
    """So 40 that come at once have their answers within a few requests of each other."""
    with ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(closing(Client(gevent_workers.port)))
            client.connect()
            client.sock.sendall(BUSY)
            assert client.sock.recv(1)
        workers = gevent_workers.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        new = [stack.enter_context(closing(Client(gevent_workers.port))) for _ in range(40)]
        for client in new:
            client.request("GET", "/")
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        answers = [tuple(map(int, client.getresponse().read().split())) for client in new]
    for worker in workers:
        before = [number for pid, number in answers if pid == worker]
        # About 40 with this worker, 400 if it takes one after a request of each.
        assert max(before, default=0) - min(before, default=0) < 150


def a_server(workers: int, handle: Callable[..., object] | None = None) -> FairServer:
    """What a worker of so many makes of one of Gunicorn's sockets."""
    settings = Config()
    settings.set("workers", workers)
    worker = FairGeventWorker(0, os.getpid(), [], None, 30, settings, Logger(settings))
    worker.tmp.close()
    if handle is not None:
        worker.handle = handle
    listener = GeventSocket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return worker.server_class(listener, spawn=Pool(10))


def test_a_worker_of_several_leaves_the_others_their_part_of_a_burst() -> None:
    for workers, at_once in ((1, FairServer.max_accept), (2, 1)):
        server = a_server(workers)
        assert server.max_accept == at_once
        server.close()


def test_whoever_was_taken_is_served_before_the_socket_is_closed() -> None:
    served = []
    server = a_server(1, lambda listener, *_: served.append(listener.getsockname()))
    server.start()
    address = server.socket.getsockname()
    with socket.create_connection(address):
        server.take_one()
        assert served == []  # it begins when gevent switches
        server.close()
    assert served == [address]


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


#: A hook of somebody else for the end of a request, and one more client to take at each.
FULL = """
import resource

def post_request(worker, request, environ, response):
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
"""


def test_a_client_keeps_its_connection_when_no_more_can_be_taken(
    start: Callable[..., Gunicorn],
) -> None:
    """And the hook that Gunicorn has for the end of a request is left to the settings."""
    server = start(FULL)
    with closing(Client(server.port)) as client, ExitStack() as stack:
        client.ask()
        for _ in range(10):  # more than other workers would take: they may have no file open too
            stack.enter_context(closing(Client(server.port))).connect()
        client.ask()
        client.ask()


def test_with_tls_as_well(start: Callable[..., Gunicorn], tmp_path: Path) -> None:
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", "key.pem"),
            *("-out", "certificate.pem"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    server = start("keyfile, certfile = 'key.pem', 'certificate.pem'\n")
    trusted = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    trusted.check_hostname = False
    with closing(HTTPSConnection("127.0.0.1", server.port, context=trusted)) as client:
        for _ in range(2):
            client.request("GET", "/")
            assert client.getresponse().read()
