"""The ways in which mysql_pool can be run, and a pytest session of `behaviour/` in one of them.

Each session is a process: gevent has to patch before anything else is imported, and Django binds
one driver per process. By hand, with pytest's options after the variant:

    python -m packages.mysql_pool.tests.variants gevent pymysql transaction -k killed
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from localserver.processes import child_setup
from tests.places import REPOSITORY

BEHAVIOUR = Path(__file__).parent / "behaviour"

TEST_TIMEOUT = 120  # seconds for one test; pytest-timeout lets it fail, and the session goes on
# A thread that hangs in a C library never runs the signal handler of pytest-timeout. A session that
# says nothing for so long is ended from outside.
SILENCE = TEST_TIMEOUT + 60  # seconds
FAREWELL = 60  # seconds a session has to stop its servers
LAST_LINES = 200  # of a session that died: the stacks of all its threads


class Variant(NamedTuple):
    """``concurrency`` is "gevent" or "threads"."""

    concurrency: str
    driver: str
    release: str

    def __str__(self) -> str:
        return " ".join(self)


QUICK = [Variant("gevent", "pymysql", "transaction")]
FULL = [
    Variant("gevent", "pymysql", "request"),
    Variant("gevent", "mysqlclient", "transaction"),
    Variant("gevent", "mysqlclient", "request"),
    Variant("threads", "pymysql", "transaction"),
    Variant("threads", "pymysql", "request"),
    Variant("threads", "mysqlclient", "transaction"),
]


class Case(NamedTuple):
    """One test of a session. ``outcome`` is "passed", "failed" or "skipped"; ``text`` is the
    traceback with what the test printed, or the reason."""

    name: str
    outcome: str
    text: str


class Session:
    """The process of a session that writes `result_lines`."""

    def __init__(self, process: subprocess.Popen, lines: Path, output: Path):
        self._process, self._lines, self._output = process, lines, output
        self._begun: str | None = None
        self._is_silent = False

    def cases(self) -> Iterator[Case]:
        """Each test when it has ended. The one in which the session died or hung has failed."""
        failures = 0
        for line in self._told():
            if line["event"] == "begun":
                self._begun = line["name"]
                continue
            self._begun = None
            case = Case(line["name"], line["outcome"], line["text"])
            failures += case.outcome == "failed"
            yield case
        # 1 is pytest's "some tests failed".
        if self._process.returncode not in ((0, 1) if failures else (0,)) or self._begun:
            yield Case(self._begun or "the session itself", "failed", self._last_words())

    def _told(self) -> Iterator[dict]:
        """The lines as they come, until the process has ended."""
        heard, rest = time.monotonic(), ""
        with self._lines.open() as lines:
            ended = False
            while not ended:
                try:
                    self._process.wait(0.2)
                    ended = True
                except subprocess.TimeoutExpired:
                    pass
                *whole, rest = (rest + lines.read()).split("\n")
                if whole:
                    heard = time.monotonic()
                yield from map(json.loads, whole)
                if not ended and time.monotonic() - heard > SILENCE:
                    self._is_silent = True
                    self._process.send_signal(signal.SIGABRT)  # pytest's faulthandler tells where

    def _last_words(self) -> str:
        code = self._process.returncode
        how = f"ended with {signal.Signals(-code).name if code < 0 else f'exit status {code}'}"
        if self._is_silent:
            how = f"was ended because it hung for {SILENCE} s"
        last = self._output.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join([*last, f"The session {how}; its last lines are above."])


@contextmanager
def behaviour(variant: Variant) -> Iterator[Session]:
    """A session of all tests in `behaviour/`; it has ended, with its servers, after the block."""
    with tempfile.TemporaryDirectory(prefix="pool-") as folder:
        lines, output = Path(folder, "lines"), Path(folder, "output")
        lines.touch()
        plugin = ["-p", "packages.mysql_pool.tests.result_lines"]
        with output.open("wb") as to:
            process = subprocess.Popen(
                _command(variant, folder, *plugin, os.fspath(BEHAVIOUR)),
                cwd=REPOSITORY,
                env=_environment(variant) | {"RESULT_LINES": os.fspath(lines)},
                stdout=to,
                stderr=subprocess.STDOUT,
                # Who ends pytest itself, and not its group, must not leave a session behind.
                preexec_fn=child_setup(die_with_parent=True),  # noqa: PLW1509 - it only sets a signal
            )
        try:
            yield Session(process, lines, output)
        finally:
            # Only when something was raised here is it still running. It gets Ctrl-C from the
            # terminal as well; a second one does no harm.
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                process.kill()  # its servers end with it: PR_SET_PDEATHSIG
                process.wait()


def _command(variant: Variant, folder: str, *arguments: str) -> list[str]:
    patched = ["-m", "gevent.monkey", "--module"] if variant.concurrency == "gevent" else ["-m"]
    # PyMySQL leaves a socket that could not connect to the garbage collector, which warns.
    options = ["-q", "--no-header", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    options += ["--timeout", str(TEST_TIMEOUT), "-p", "no:cacheprovider", "-p", "no:django"]
    # A folder of its own, or pytest at its end would remove those of earlier runs: gevent's
    # os.close() leaves a directory open until the loop turns, which it does not then, and thousands
    # of them are "Too many open files".
    options += ["--basetemp", os.path.join(folder, "base")]
    return [sys.executable, *patched, "pytest", *options, *arguments]


def _environment(variant: Variant) -> dict[str, str]:
    return os.environ | {"POOL_DRIVER": variant.driver, "POOL_RELEASE": variant.release}


def main() -> int:
    """A session by hand, in this terminal; returns pytest's exit status."""
    variants = {tuple(variant): variant for variant in QUICK + FULL}
    variant = variants.get(tuple(sys.argv[1:4]))
    if variant is None:
        print("The variants:", *(" ".join(one) for one in variants), sep="\n  ", file=sys.stderr)
        return 2
    arguments = sys.argv[4:]
    if not any(BEHAVIOUR.name in argument for argument in arguments):
        arguments.append(os.fspath(BEHAVIOUR))
    with tempfile.TemporaryDirectory(prefix="pool-") as folder:
        command, environment = _command(variant, folder, *arguments), _environment(variant)
        with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as session:
            while True:
                try:
                    return session.wait()
                except KeyboardInterrupt:
                    pass  # it got that as well, and ends its servers first


if __name__ == "__main__":
    sys.exit(main())
