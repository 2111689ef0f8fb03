"""What every test may use: the template's own packages, and private database servers.

The packages are installed from packages/ as they stand there (bootstrap.sh), so a test tests what
is edited; that the template carries the same is part of `make lint`.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from localserver.server import Server
from tests.places import TEMPLATE
from tests.server_options import SERVER_OPTIONS

# A shell starts a background job with Ctrl-C ignored, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example takes says more about what else this machine does than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, or it would end alone, with the other process idle."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the sessions of packages/mysql_pool/tests/test_variants.py did: theirs are subtests, of
    which pytest shows only those that failed."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    told = [(one, dict(one.user_properties)) for one in reports if one.when == "call"]
    for report, properties in told:
        if "cases" not in properties:
            continue
        counts = ", ".join(f"{number} {what}" for what, number in properties["cases"].items())
        terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {counts}")
        for reason, number in properties["skipped cases"].items():
            terminalreporter.write_line(f"    {number} skipped: {reason}")


@pytest.fixture(scope="session")
def template() -> Path:
    """The folder cookiecutter renders."""
    return TEMPLATE


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server on a Unix socket and on TCP, shared by all tests of the run.

    A test that stops it, or changes a global variable, uses `new_server` instead.
    """
    with Server(tmp_path_factory.mktemp("server"), SERVER_OPTIONS, tcp=True) as running:
        yield running


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """``new_server(name="server", tcp=False, **options)`` starts a server of this test's own."""
    servers: list[Server] = []

    def start(name: str = "server", *, tcp: bool = False, **options: object) -> Server:
        one = Server(tmp_path / name, {**SERVER_OPTIONS, **options}, tcp=tcp)
        servers.append(one)
        one.start()
        return one

    yield start
    for one in servers:
        one.stop()
