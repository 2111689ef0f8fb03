"""mysql_pool against a real server, in every way in which it can be run.

gevent has to patch before anything else is imported, and Django binds one driver per process. So
each variant is a pytest session of its own (`behaviour/`) in a process of its own.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BEHAVIOUR = Path(__file__).parent / "behaviour"
QUICK = [("gevent", "pymysql", "transaction")]
FULL = [
    ("gevent", "pymysql", "request"),
    ("gevent", "mysqlclient", "transaction"),
    ("gevent", "mysqlclient", "request"),
    ("threads", "pymysql", "transaction"),
    ("threads", "pymysql", "request"),
    ("threads", "mysqlclient", "transaction"),
]


@pytest.mark.server
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("concurrency", "driver", "release"),
    [*QUICK, *(pytest.param(*variant, marks=pytest.mark.full) for variant in FULL)],
)
def test_the_pool_behaves(concurrency, driver, release):
    if driver == "mysqlclient" and find_spec("MySQLdb") is None:
        pytest.fail("mysqlclient is not installed: `make test` installs it (bootstrap.sh)")
    environment = os.environ | {"POOL_DRIVER": driver, "POOL_RELEASE": release}
    patch = "from gevent import monkey; monkey.patch_all(); " if concurrency == "gevent" else ""
    program = f"{patch}import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    # PyMySQL leaves a socket that could not connect to the garbage collector, which warns.
    options = ["-q", "--no-header", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    options += ["--timeout", "120"]  # sooner than this test's own: it says which one hangs
    plugins = ["-p", "no:cacheprovider", "-p", "no:django"]
    session = subprocess.run(
        [sys.executable, "-c", program, *options, *plugins, str(BEHAVIOUR)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert session.returncode == 0, session.stdout
    print(session.stdout.splitlines()[-1])
