"""``python -m tests.servers``: the pool's tests on real MySQL and on a newer MariaDB.

Exit status 0: all passed, 1: not all did, 2: a server could not be had, 130: Ctrl-C.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.places import REPOSITORY

from .fetch import SERVERS, programs

#: One of each driver: what differs between servers differs in the drivers' protocols.
CHOSEN = ["packages/mysql_pool/tests/test_variants.py", "-k", "gevent and transaction"]
FULL = ["packages/mysql_pool/tests/test_variants.py", "packages/localserver/tests"]


def main() -> int:
    options = parser().parse_args()
    if unknown := set(options.servers) - set(SERVERS):
        parser().error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SERVERS)}")
    passed = True
    for name in options.servers or SERVERS:
        try:
            folder = programs(name)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{name}: cannot be had here: {error}", file=sys.stderr)
            return 2
        print(f"{name}: {_version(folder, name)}", flush=True)
        passed = _session(folder, FULL if options.full else CHOSEN) and passed
    return 0 if passed else 1


def _session(folder: Path, tests: list[str]) -> bool:
    """Did these tests pass on the server whose programs are in ``folder``?"""
    # Two at a time, each on a server of its own.
    at_a_time = ["-n", "2", "--dist", "worksteal"]
    command = [sys.executable, "-m", "pytest", "-v", "--no-header", *at_a_time, *tests]
    environment = os.environ | {"LOCALSERVER_BIN": str(folder)}
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as session:
        try:
            return session.wait() == 0
        except KeyboardInterrupt:
            session.wait()  # it was told as well, and ends its servers first
            raise


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m tests.servers", description=__doc__.partition("\n")[0]
    )
    top.add_argument("servers", nargs="*", help=f"some of {', '.join(SERVERS)}; default: all")
    top.add_argument(
        "--full", action="store_true", help="every variant of the pool, and localserver"
    )
    return top


def _version(folder: Path, name: str) -> str:
    daemon = folder / SERVERS[name].daemon
    told = subprocess.run(
        [daemon, "--no-defaults", "--version"], capture_output=True, text=True, check=True
    )
    return told.stdout.partition("Ver ")[2].partition(" for ")[0]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
