"""What `demo.load` makes of hey's report; hey and a small server are the real ones."""

import http.server
import shutil
import threading
from collections.abc import Iterator

import pytest

from demo.load import Run
from demo.project import DemoError

pytestmark = pytest.mark.skipif(not shutil.which("hey"), reason="hey is not installed")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers the status its path names; every third request to /mixed is a 503."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        busy = self.path == "/mixed" and self.asked % 3 == 0
        self.send_response(
            503 if busy else int(self.path.strip("/")) if self.path != "/mixed" else 200
        )
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201 if body == b'{"quantity": 1}' else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Handler, "asked", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_successes_are_counted(site: str) -> None:
    outcome = Run("reads", f"{site}/200", clients=5, requests=50).result()
    assert (outcome.requests, outcome.refused, outcome.failed) == (50, 0, 0)
    assert 0 < outcome.median <= outcome.p99 <= outcome.slowest < outcome.seconds


def test_a_503_is_refused_and_not_failed(site: str) -> None:
    # hey's clients share nothing, but the server counts: a third of 60.
    outcome = Run("reads", f"{site}/mixed", clients=1, requests=60).result()
    assert (outcome.requests, outcome.refused, outcome.failed) == (60, 20, 0)


@pytest.mark.parametrize("status", [400, 404, 409, 500, 502])
def test_any_other_error_has_failed(site: str, status: int) -> None:
    outcome = Run("reads", f"{site}/{status}", clients=2, requests=10).result()
    assert (outcome.requests, outcome.failed) == (10, 10)


def test_a_connection_that_is_refused_has_failed() -> None:
    outcome = Run("reads", "http://127.0.0.1:9/", clients=2, requests=10).result()
    assert (outcome.requests, outcome.failed) == (10, 10)
    assert "refused" in next(iter(outcome.errors))


def test_a_body_is_posted(site: str) -> None:
    outcome = Run("orders", f"{site}/", clients=2, requests=4, body='{"quantity": 1}').result()
    assert outcome.statuses == {201: 4}


def test_a_run_that_hey_refuses_is_an_error() -> None:
    with pytest.raises(DemoError, match="hey failed"):
        Run("reads", "http://127.0.0.1:9/", clients=5, requests=1).result()
