"""A server of its own, a ledger, and processes that share it."""

import shutil
import tempfile
from pathlib import Path

import pytest

from packages.mysql_pool.tests.host.host import Counter, Member

CONNS = 12
"""HOST_CONNS of the tests."""


@pytest.fixture(scope="module")
def host_server(tmp_path_factory):
    """Counts nobody's connections but the members'."""
    from localserver.server import Server
    from tests.server_options import SERVER_OPTIONS

    with Server(tmp_path_factory.mktemp("host"), SERVER_OPTIONS) as server:
        server.ensure_database("hosted")
        server.ensure_account("member", "secret", "hosted")
        yield server


@pytest.fixture
def ledger():
    """The path of a ledger on a file system as production has it."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    yield folder / "run" / "connections"
    shutil.rmtree(folder)


@pytest.fixture
def counter(host_server):
    counter = Counter(host_server)
    yield counter
    counter.end()


@pytest.fixture
def member(host_server, ledger, tmp_path):
    """``member(role="web", threads=False, GUARANTEED=2)`` starts one; its log is ``member.log``."""
    members = []

    def start(*, threads=False, **options):
        options = {
            "MAX_CONNS": CONNS,
            "LEDGER": str(ledger),
            "HOST_CONNS": CONNS,
            "GUARANTEED": 2,
            "STATIC_CONNS": 3,
            "MAX_IDLE": 30,
            "POOL_TIMEOUT": 20,
            **options,
        }
        log = tmp_path / f"{len(members)}.log"
        url = f"{host_server.socket},member,secret,hosted"
        with log.open("w") as stderr:
            one = Member(url, options, threads=threads, stderr=stderr)
        one.log = log
        members.append(one)
        return one

    yield start
    for one in members:
        one.end()
