"""What makes a gevent worker fair: it takes new clients while it is busy with others."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from benchmarks import fairness
from localserver.server import free_port

PATIENCE = 30  # seconds

APPLICATION = """
import gc
from gevent.server import StreamServer

def application(environ, start_response):
    servers = [each for each in gc.get_objects() if isinstance(each, StreamServer)]
    body = b",".join(b"%d" % each.max_accept for each in servers)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def port(tmp_path: Path, template: Path) -> Iterator[int]:
    """Of a Gunicorn with a copied gunicorn.conf.py and two gevent workers."""
    shutil.copy(template / "gunicorn.conf.py", tmp_path)
    (tmp_path / "app.py").write_text(APPLICATION)
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        gunicorn = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "app", "--bind", f"127.0.0.1:{port}"],
            cwd=tmp_path,
            env={
                **os.environ,
                "BUDGET_WORKER_CLASS": "gevent",
                "BUDGET_WORKERS": "2",
                # A TERM that meets a booting worker is lost; Gunicorn ends it after this time.
                "BUDGET_GRACEFUL_TIMEOUT": "3",
            },
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while (tmp_path / "log").read_text().count("Worker ready") < 2:
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.02)  # Gunicorn tells only its log when its workers are ready
        yield port
    finally:
        gunicorn.terminate()
        gunicorn.wait(PATIENCE)


def test_a_worker_takes_as_many_clients_in_a_turn_as_it_has(port: int) -> None:
    """So an idle one leaves most of a burst to the others, and a busy one takes all there is."""
    clients = [HTTPConnection("127.0.0.1", port, timeout=PATIENCE) for _ in range(60)]

    def ask(client: HTTPConnection) -> int:
        client.request("GET", "/")
        return int(client.getresponse().read())

    try:
        assert ask(clients[0]) == 8
        for client in clients:
            ask(client)
        # Of two workers one has at least half of them.
        assert max(map(ask, clients)) >= len(clients) / 2
    finally:
        for client in clients:
            client.close()


def test_clients_are_told_apart(port: int) -> None:
    seen = fairness.measure("127.0.0.1", port, "/", clients=4, seconds=0.5)
    assert seen.requests >= 4
    assert 0 < seen.unluckiest <= 1
    assert seen.slowest_first > 0
