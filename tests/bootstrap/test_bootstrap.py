"""bootstrap.sh: what it makes, and what it says where it may not."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import REPOSITORY, TEMPLATE

NOBODY = 65534
NOT_HANDED_ON = ("VENV", "PYTHON", "VIRTUAL_ENV", "DATABASE_URL", "DB_HOST")

PYPROJECT = """
[project]
requires-python = ">=3.11"
dependencies = []

[dependency-groups]
dev = [{ include-group = "tools" }]
tools = ["pip"]  # which every environment has: nothing is downloaded
"""


@pytest.fixture
def project() -> Iterator[Path]:
    """A project with nothing but what bootstrap.sh reads; the user nobody can get to it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copy(TEMPLATE / "bootstrap.sh", folder)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    yield folder
    shutil.rmtree(folder)


def bootstrap(
    project: Path, *programs: str, user: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in NOT_HANDED_ON}
    return subprocess.run(
        [str(project / "bootstrap.sh"), *programs],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        user=user,
    )


@pytest.mark.full
def test_it_makes_an_environment_with_the_groups_of_groups(project: Path) -> None:
    done = bootstrap(project)
    assert done.returncode == 0, done.stderr
    assert (project / ".venv" / "requirements.txt").read_text() == "pip\n"
    python = project / ".venv" / "bin" / "python"
    assert subprocess.run([python, "-c", "import pip"], check=False).returncode == 0


@pytest.mark.full
def test_an_environment_whose_python_is_gone_is_made_anew(project: Path) -> None:
    assert bootstrap(project).returncode == 0
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/gone/python3.10")
    assert bootstrap(project).returncode == 0
    assert subprocess.run([python, "-c", "import pip"], check=False).returncode == 0


@pytest.mark.full
def test_an_environment_that_works_is_kept(project: Path) -> None:
    assert bootstrap(project).returncode == 0
    (project / ".venv" / "mine").touch()
    done = bootstrap(project)
    assert done.returncode == 0
    assert "Making the virtual environment" not in done.stderr
    assert (project / ".venv" / "mine").exists()


@pytest.mark.parametrize("python", ["/bin/false", "/no/such/python"])
def test_a_python_that_will_not_do_is_named(project: Path, python: str) -> None:
    done = bootstrap(project, PYTHON=python)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert python in done.stderr
    assert not (project / ".venv").exists()


def test_the_minimum_comes_from_pyproject(project: Path) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.replace("3.11", "3.99"))
    done = bootstrap(project)
    assert done.returncode == 1
    assert "Python 3.99 or newer is needed" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.skipif(not shutil.which("apt-get"), reason="not a Debian machine")
def test_who_may_not_install_is_told_the_one_command(project: Path) -> None:
    os.chown(project, NOBODY, NOBODY)
    # The system's own Python: this one may lie where nobody can get to.
    python = "/usr/bin/python3"
    programs = ("no-such-program", "nor-this:its-package", "sh:is-there")
    done = bootstrap(project, *programs, user=NOBODY, PATH="/usr/bin:/bin", PYTHON=python)
    assert done.returncode == 1
    (command,) = [line for line in done.stderr.splitlines() if "apt-get" in line]
    assert command.startswith("    sudo apt-get install -y --no-install-recommends ")
    assert command.endswith(" no-such-program its-package")
    assert not (project / ".venv").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.skipif(not shutil.which("apt-get"), reason="not a Debian machine")
def test_on_a_machine_without_package_lists_the_command_fetches_them(project: Path) -> None:
    os.chown(project, NOBODY, NOBODY)
    hidden = "mount -t tmpfs tmpfs /var/lib/apt/lists && exec setpriv --reuid 65534 --clear-groups"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{hidden} ./bootstrap.sh no-such-program"],
        cwd=project,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHON": "/usr/bin/python3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "no-such-program" not in done.stderr:
        pytest.skip(f"this sandbox may not mount: {done.stderr}")
    (command,) = [line for line in done.stderr.splitlines() if "apt-get" in line]
    assert command.startswith("    sudo apt-get update && sudo apt-get install -y ")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", True),
        ("DATABASE_URL=", True),
        ("DATABASE_URL=''", True),
        ("#DATABASE_URL=mysql://u@h/n", True),
        ("DATABASE_URL=mysql://u@h/n", False),
        ("export DB_HOST='h'", False),
    ],
)
def test_a_database_server_is_installed_unless_dot_env_names_one(
    project: Path, tmp_path: Path, line: str, wanted: bool
) -> None:
    (project / ".env").write_text(f"{line}\n")
    # The programs that the script needs, no database server, and no apt-get: nothing is installed.
    for name in ("sh", "dirname", "sed", "grep"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    text = (project / "bootstrap.sh").read_text()
    (project / "bootstrap.sh").write_text(text.replace(":/usr/sbin:/usr/local/sbin", ""))
    done = bootstrap(project, "no-such-program", PATH=str(tmp_path), PYTHON=sys.executable)
    assert done.returncode == 1
    assert "no-such-program" in done.stderr
    assert ("mariadb-server-core" in done.stderr) == wanted


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("demo", "dev: hey"),
        ("lint", "dev:"),
        ("test", "dev drivers: hey wrk"),
        ("test-quick", "dev drivers: hey wrk"),
        ("lint-ansible", "dev lab:"),
    ],
)
def test_make_asks_for_all_that_a_target_needs_at_once(
    tmp_path: Path, target: str, asked: str
) -> None:
    """Who may not install packages would be told one command after the other."""
    script = tmp_path / TEMPLATE.name / "bootstrap.sh"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "${GROUPS_TO_INSTALL:-dev}:" "$@" >>asked\nexit 1\n')
    script.chmod(0o755)
    for name in ("Makefile", "bootstrap.sh", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    done = subprocess.run(["make", target], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode != 0
    assert (tmp_path / "asked").read_text().strip() == asked
