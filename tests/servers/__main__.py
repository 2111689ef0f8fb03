"""``python -m tests.servers``: the pool's tests on real MySQL and on a newer MariaDB.

Exit status 0: all passed, 1: not all did, 2: a server could not be had, 130: Ctrl-C.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "{{cookiecutter.project_slug}}"))

from tests.pool import variants  # noqa: E402 - finds the template's packages from here on

from .fetch import SERVERS, programs  # noqa: E402

#: One of each driver: what differs between servers differs in the drivers' protocols.
CHOSEN = [each for each in variants.QUICK + variants.FULL if each[::2] == ("gevent", "transaction")]


def main() -> int:
    options = parser().parse_args()
    if unknown := set(options.servers) - set(SERVERS):
        parser().error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SERVERS)}")
    chosen = variants.QUICK + variants.FULL if options.full else CHOSEN
    passed = True
    for name in options.servers or SERVERS:
        try:
            folder = programs(name)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{name}: cannot be had here: {error}", file=sys.stderr)
            return 2
        print(f"{name}: {_version(folder, name)}", flush=True)
        for variant in chosen:
            begun = time.monotonic()
            session = variants.behaviour(variant, LOCALSERVER_BIN=str(folder))
            last = (session.stdout.splitlines() or [""])[-1]
            told = last if session.returncode == 0 else session.stdout
            seconds = time.monotonic() - begun
            print(f"    {', '.join(variant)}: {told} ({seconds:.0f} s)", flush=True)
            passed = passed and session.returncode == 0
        if options.full:
            print("    the private server:", flush=True)
            passed = _localserver(folder) and passed
    return 0 if passed else 1


def _localserver(folder: Path) -> bool:
    environment = os.environ | {"LOCALSERVER_BIN": str(folder)}
    command = [sys.executable, "-m", "pytest", "-q", "tests/localserver"]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode == 0


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
