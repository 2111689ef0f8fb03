"""Clean copies of the repository to generate from, and a place to generate into."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.hooks.workplace import Workplace, git
from tests.places import REPOSITORY


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git would commit: copied folders take untracked junk along, so it has none."""
    copy = tmp_path_factory.mktemp("clean") / "repository"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in os.fsdecode(listed.stdout).split("\0"):
        source = REPOSITORY / name
        if name and (source.is_symlink() or source.is_file()):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return copy


@pytest.fixture(scope="session")
def git_repository(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, committed."""
    copy = tmp_path_factory.mktemp("git") / "template"
    shutil.copytree(repository, copy, symlinks=True)
    git(copy, "init", "--quiet", "--initial-branch=main")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message=first")
    return copy


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """Where one test generates."""
    return Workplace(tmp_path)
