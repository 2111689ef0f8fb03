"""Projects as cookiecutter makes them, from what git tracks and nothing else that lies about."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from packages.gunicorn_budget.tests.gunicorns import Gunicorn, starting_in
from tests.bake import environments
from tests.places import REPOSITORY


@dataclass(frozen=True)
class Project:
    """One generated project and the answers that were not the defaults."""

    folder: Path
    answers: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, *command: str | Path, python: str = sys.executable, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `python` with `command` in the project, with no setting from outside."""
        kept = {"PATH", "HOME", "LANG", "TMPDIR", "UV_CACHE_DIR", "XDG_RUNTIME_DIR"}
        return subprocess.run(
            [python, *command],
            cwd=self.folder,
            env={
                **{name: value for name, value in os.environ.items() if name in kept},
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def clean_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files as they are now: cookiecutter copies untracked junk into projects."""
    copy = tmp_path_factory.mktemp("template")
    listed = subprocess.run(
        [
            *("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
            *("cookiecutter.json", "hooks", "packages/budget", "*cookiecutter.project_slug*"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        source = REPOSITORY / name
        if source.exists():  # a deleted file is listed until it is committed
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy / name)
    return copy


@pytest.fixture(scope="session")
def bake(clean_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """`bake(worker_class="sync", ...)` generates a project with cookiecutter's own command."""

    def make(**answers: str) -> Project:
        output = tmp_path_factory.mktemp("baked")
        environment = {**os.environ, "HOME": str(output / "home")}  # its replay files
        done = subprocess.run(
            [
                *(sys.executable, "-m", "cookiecutter", "--no-input", "-o", str(output)),
                str(clean_copy),
                *(f"{name}={value}" for name, value in answers.items()),
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.rmtree(output / "home", ignore_errors=True)
        (folder,) = output.iterdir()
        return Project(folder, answers)

    return make


@pytest.fixture(scope="session")
def project(bake: Callable[..., Project]) -> Project:
    """A project with every default answer. Not to be changed by a test."""
    return bake()


@pytest.fixture(scope="session")
def python_for(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[Project], str]:
    """An interpreter with all a project needs: the running one, or one made for the occasion.

    To make one takes about a minute, so it is only done where the `full` tests are asked for.
    """
    made = environments.Made(tmp_path_factory.mktemp("environments"))
    may_make = "not full" not in request.config.option.markexpr
    return lambda project: made.python_for(project.folder, may_make=may_make)


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    """`gunicorn(*arguments, **environment)`, in tmp_path."""
    with starting_in(tmp_path) as start:
        yield start
