"""Interpreters that have what a generated project's pyproject.toml asks for."""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

CANDIDATES = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
EXTRA_BRINGS = {"rsa": "cryptography"}


class Made:
    """Virtual environments in `folder`, one for each set of requirements."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def python_for(self, project: Path, *, may_make: bool) -> str:
        """The running interpreter if it has all that `project` needs, else one made for it.

        Skips the test where that is not allowed or there is no such Python.
        """
        needed, pythons = requirements(project)
        if pythons.contains(current_version()) and all(map(installed, needed)):
            return sys.executable
        if not may_make:
            pytest.skip("an environment would have to be made; the full run does")
        name = hashlib.sha256(repr(sorted(map(str, needed))).encode()).hexdigest()[:12]
        python = self.folder / name / "bin" / "python"
        if not python.exists():
            make(python.parents[1], interpreter(pythons), needed)
        return str(python)


def requirements(project: Path) -> tuple[list[Requirement], SpecifierSet]:
    """What the project and its tests need, and the Python versions that would do."""
    document = tomllib.loads((project / "pyproject.toml").read_text())
    listed = [*document["project"]["dependencies"], *document["dependency-groups"]["dev"]]
    return [Requirement(line) for line in listed], SpecifierSet(
        document["project"]["requires-python"]
    )


def current_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def installed(requirement: Requirement) -> bool:
    """Whether the running interpreter has it, extras included as far as they matter here."""
    try:
        found = version(requirement.name)
        for extra in requirement.extras & EXTRA_BRINGS.keys():
            version(EXTRA_BRINGS[extra])
    except PackageNotFoundError:
        return False
    return requirement.specifier.contains(found)


def interpreter(pythons: SpecifierSet) -> str:
    """A Python on PATH, or in BAKE_PYTHONS, whose version would do."""
    named = [each for each in os.environ.get("BAKE_PYTHONS", "").split(os.pathsep) if each]
    for candidate in [sys.executable, *named, *CANDIDATES]:
        if not shutil.which(candidate):
            continue
        asked = subprocess.run(
            [candidate, "-c", "import ensurepip, platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0 and pythons.contains(asked.stdout.strip(), prereleases=True):
            return candidate
    pytest.skip(f"no Python {pythons} here; BAKE_PYTHONS may name one")


def make(folder: Path, python: str, needed: list[Requirement]) -> None:
    subprocess.run([python, "-m", "venv", folder], check=True)
    done = subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *map(str, needed)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(folder)
        pytest.skip(f"cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
