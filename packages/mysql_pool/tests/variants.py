"""The ways in which mysql_pool can be run, and its tests in one of them, in a process of their own.

gevent has to patch before anything else is imported, and Django binds one driver per process.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

BEHAVIOUR = Path(__file__).parent / "behaviour"


class Variant(NamedTuple):
    """``concurrency`` is "gevent" or "threads"."""

    concurrency: str
    driver: str
    release: str


QUICK = [Variant("gevent", "pymysql", "transaction")]
FULL = [
    Variant("gevent", "pymysql", "request"),
    Variant("gevent", "mysqlclient", "transaction"),
    Variant("gevent", "mysqlclient", "request"),
    Variant("threads", "pymysql", "transaction"),
    Variant("threads", "pymysql", "request"),
    Variant("threads", "mysqlclient", "transaction"),
]


def behaviour(variant: Variant) -> subprocess.CompletedProcess[str]:
    """The outcome of all tests in `behaviour/`; standard output and error are in ``stdout``."""
    patch = ""
    if variant.concurrency == "gevent":
        patch = "from gevent import monkey; monkey.patch_all(); "
    program = f"{patch}import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    # PyMySQL leaves a socket that could not connect to the garbage collector, which warns.
    options = ["-q", "--no-header", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    options += ["--timeout", "120"]  # sooner than the caller's own: it says which one hangs
    plugins = ["-p", "no:cacheprovider", "-p", "no:django"]
    # A folder of its own, or pytest at its end would remove those of earlier runs: gevent's
    # os.close() leaves a directory open until the loop turns, which it does not then, and thousands
    # of them are "Too many open files".
    with tempfile.TemporaryDirectory(prefix="pool-") as folder:
        command = [sys.executable, "-c", program, *options, *plugins, "--basetemp", folder]
        session = subprocess.Popen(
            [*command, BEHAVIOUR],
            env=os.environ | {"POOL_DRIVER": variant.driver, "POOL_RELEASE": variant.release},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            told = session.communicate()[0]
        except BaseException as error:  # it has to end the servers that it started
            if not isinstance(error, KeyboardInterrupt):  # which it got as well
                session.send_signal(signal.SIGINT)
            session.communicate()
            raise
    return subprocess.CompletedProcess(command, session.returncode, told)
