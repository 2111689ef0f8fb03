"""Django's source distribution, which alone has the test suite, and the environments to run it in.

Everything is kept in a folder that git ignores, so that only the first run downloads.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
CACHE = REPOSITORY / ".conformance"

#: What the suite needs beside Django and a driver. Without Pillow and PyYAML it skips tests of
#: image fields and fixtures; tblib makes its tracebacks readable.
REQUIREMENTS = (
    "asgiref>=3.9.1",
    "sqlparse>=0.3.1",
    "tblib>=3",
    "pillow",
    "pyyaml",
    "tzdata",
    "gevent>=24.11,<27",
)
DRIVERS = {"pymysql": "pymysql[rsa]>=1.1.1,<2", "mysqlclient": "mysqlclient>=2.2.4,<3"}
#: The oldest Python of each Django series.
PYTHONS = {"5.2": (3, 10), "6.1": (3, 12)}


class SourceError(Exception):
    """Django's source or an environment could not be had; says why."""


def cache_folder() -> Path:
    """The folder for what is downloaded and measured; git ignores it."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    return CACHE


def pinned(series: str) -> tuple[str, str]:
    """Version and sha256 of Django's sdist, from ``django-<series>.txt``."""
    path = HERE / f"django-{series}.txt"
    if not path.exists():
        known = ", ".join(sorted(p.stem.removeprefix("django-") for p in HERE.glob("django-*.txt")))
        raise SourceError(f"Django {series} is not pinned here. Known: {known}.")
    version, digest = re.search(r"django==(\S+) --hash=sha256:(\w+)", path.read_text()).groups()
    return version, digest


@functools.cache
def python_version(python: str) -> tuple[int, ...]:
    """``(3, 12, 1)`` for an interpreter's path. Raises `SourceError` when it does not run."""
    code = "import json, sys; print(json.dumps(sys.version_info[:3]))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SourceError(f"{python} is no Python that runs: {error}") from error
    return tuple(json.loads(done.stdout))


def check_python(python: str, series: str) -> None:
    """Raises `SourceError` if this Python is too old for this Django."""
    if python_version(python)[:2] < PYTHONS[series]:
        needed = ".".join(map(str, PYTHONS[series]))
        raise SourceError(
            f"Django {series} needs Python {needed} or newer and {python} is "
            f"{'.'.join(map(str, python_version(python)))}: name another one with --python."
        )


def django_source(series: str, python: str) -> Path:
    """The unpacked sdist of Django ``series``; downloaded by pip the first time.

    pip compares the download with the pinned hash; so does this function with what it kept.
    """
    version, digest = pinned(series)
    folder = cache_folder() / f"django-{version}"
    if (folder / "tests" / "runtests.py").exists():
        return folder
    archive = CACHE / f"django-{version}.tar.gz"
    if not archive.exists():
        _pip(
            _environment(CACHE / f"env-download-py{_short(python)}", python),
            "download", "--no-deps", "--no-binary", "django", "--require-hashes",
            "--dest", str(CACHE), "-r", str(HERE / f"django-{series}.txt"),
        )  # fmt: skip
    if hashlib.sha256(archive.read_bytes()).hexdigest() != digest:
        archive.unlink()
        raise SourceError(f"{archive} is not what django-{series}.txt says; removed. Run it again.")
    fresh = CACHE / f"unpacking-{os.getpid()}"
    with tarfile.open(archive) as tar:
        # As an attribute, not an argument: Debian 12's Python 3.11.2 knows no filters.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(fresh)
    (fresh / f"django-{version}").rename(folder)
    shutil.rmtree(fresh)
    return folder


def environment(series: str, driver: str, python: str) -> Path:
    """The Python of a virtual environment with one driver and without Django.

    One for each driver, because ``runtests.py`` imports MySQLdb whenever it is installed.
    """
    check_python(python, series)
    path = cache_folder() / f"env-py{_short(python)}-{driver}"
    packages = (*REQUIREMENTS, DRIVERS[driver])
    stamp = path / "installed.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != list(packages):
        _pip(_environment(path, python), "install", *packages)
        stamp.write_text(json.dumps(packages))
    return path / "bin" / "python"


def installed(python: Path, package: str) -> str:
    """The version of a package in an environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _short(python: str) -> str:
    return "".join(map(str, python_version(python)[:2]))


def _environment(path: Path, python: str) -> Path:
    if not (path / "bin" / "pip").exists():
        shutil.rmtree(path, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(path)], check=True)
    return path / "bin" / "python"


def _pip(python: Path, *arguments: str) -> None:
    print(f"pip {' '.join(arguments[:1])} … into {CACHE.name}/", file=sys.stderr)
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SourceError(f"pip {' '.join(arguments)} failed:\n{done.stdout[-3000:]}")
