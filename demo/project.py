"""A project generated into a scratch folder, and run by its own `make run`."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from localserver.processes import child_setup
from localserver.server import Server, free_port

REPOSITORY = Path(__file__).parents[1]

#: 51 connections, 11 of them reserved, shared by the workers of one host before and after a reload:
#: (51 - 11) / ((1 + 1) hosts x 2 workers) is a pool of 10 for each worker.
ANSWERS = {
    "project_name": "Demo Shop",
    "max_connections": "51",
    "workers": "2",
    "worker_connections": "200",
}
SLUG = "demo_shop"

#: A developer's settings that must not lead the demo to the developer's server.
FOREIGN = re.compile(
    r"^(DATABASE_URL|DB_|BUDGET_|WEB_CONCURRENCY|GUNICORN_|DJANGO_|SECURE_|DEBUG$)"
)

START_TIMEOUT = 300.0  # seconds; the first start downloads the project's packages
STOP_TIMEOUT = 60.0


class DemoError(RuntimeError):
    """The demo cannot go on; the text says why."""


class Project:
    """The generated project below ``scratch``."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.folder = scratch / SLUG
        self.port = free_port()
        self.server = Server(self.folder / ".localserver")
        self.output: list[str] = []
        self._make: subprocess.Popen[str] | None = None
        self._listening = threading.Event()
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def generate(self) -> None:
        """Bake it from a clean copy, without touching the user's cookiecutter settings."""
        template = self.scratch / "template"
        copy_clean(REPOSITORY, template)
        config = self.scratch / "cookiecutter.yaml"
        config.write_text(
            f"replay_dir: {self.scratch / 'replay'}\ncookiecutters_dir: {self.scratch / 'cloned'}\n"
        )
        answers = [f"{name}={value}" for name, value in ANSWERS.items()]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "cookiecutter", str(template), "--no-input"),
                *("--config-file", str(config), "--output-dir", str(self.scratch), *answers),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoError(f"The project was not generated:\n{done.stdout}{done.stderr}")

    def start(self, tell: Callable[[str], None]) -> None:
        """`make run`; returns the moment Gunicorn listens, with workers and pool still cold.

        ``tell`` is given each line that says what is being done.
        """
        kept = {k: v for k, v in os.environ.items() if not FOREIGN.match(k)}
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VENV", "GROUPS_TO_INSTALL"):
            kept.pop(name, None)
        self._make = subprocess.Popen(
            ["make", "run"],
            cwd=self.folder,
            env={**kept, "PORT": str(self.port), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=child_setup(die_with_parent=True),  # noqa: PLW1509 - no threads yet
        )
        threading.Thread(target=self._read, args=(self._make.stdout, tell), daemon=True).start()
        if not self._listening.wait(START_TIMEOUT) or self._ended.is_set():
            raise DemoError("`make run` did not come up:\n" + "".join(self.output[-30:]))

    def _read(self, lines: IO[str], tell: Callable[[str], None]) -> None:
        for line in lines:
            self.output.append(line)
            if match := re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line):
                self.port = int(match[1])
                self._listening.set()
            elif not self._listening.is_set() and re.match(
                r"Making|Installing|Private|manage", line
            ):
                tell(line.strip())
        self._ended.set()
        self._listening.set()

    def python(self, script: Path, *arguments: str) -> str:
        """Run ``script`` in the project's own environment, beside the running site."""
        python = str(self.folder / ".venv" / "bin" / "python")
        command = [python, "-m", "localserver", "run", "--join", "--", python, str(script)]
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoError(f"{script.name} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def stop(self) -> None:
        """End it as Ctrl-C does, and see that nothing is left running."""
        if self._make is None:
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C changes nothing
        if self._make.poll() is None:
            self._make.send_signal(signal.SIGTERM)  # make hands it on
        if not self._ended.wait(STOP_TIMEOUT):
            os.killpg(self._make.pid, signal.SIGKILL)
            raise DemoError(f"`make run` did not end within {STOP_TIMEOUT:.0f} s of SIGTERM.")
        self._make.wait()
        if pid := self.server.pid:
            raise DemoError(
                f"`make run` ended and left its database server running (process {pid})."
            )


def copy_clean(repository: Path, target: Path) -> None:
    """Copy what git knows, and what it would add: a work tree's caches would be baked too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise DemoError(
            f"The demo copies the files git knows, and git says: {listed.stderr.strip()}"
        )
    for name in filter(None, listed.stdout.split("\0")):
        source, copy = repository / name, target / name
        if source.exists():  # not deleted in the work tree
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
