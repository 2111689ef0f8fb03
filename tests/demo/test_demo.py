"""`make demo` itself: what it copies, and that nothing is left of it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.project import copy_clean
from tests.places import REPOSITORY


def test_a_clean_copy_has_what_git_knows_and_no_junk(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    for name in ("added.py", "new.py", "__pycache__/junk.pyc", "gone.py"):
        path = repository / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (repository / ".gitignore").write_text("__pycache__/\n")
    (repository / "link").symlink_to("added.py")
    subprocess.run(["git", "add", "added.py", "gone.py", "link"], cwd=repository, check=True)
    (repository / "gone.py").unlink()
    copy_clean(repository, tmp_path / "copy")
    copied = sorted(path.name for path in (tmp_path / "copy").rglob("*"))
    assert copied == [".gitignore", "added.py", "link", "new.py"]
    assert (tmp_path / "copy" / "link").is_symlink()


@pytest.mark.full
@pytest.mark.server
@pytest.mark.parametrize("moment", ["Installing the Python packages", "warm"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, moment: str) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if re.search(moment, line):
            break
    else:
        pytest.fail(f"it never came to {moment!r}")
    os.killpg(demo.pid, signal.SIGINT)  # as the terminal does: to everybody
    rest = demo.communicate(timeout=60)[0]
    assert demo.returncode == 130, rest
    assert "everything was stopped and removed" in rest
    assert list(tmp_path.iterdir()) == []
    assert processes_below(tmp_path) == []


def processes_below(folder: Path) -> list[str]:
    """The command lines that name ``folder`` or run in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().decode(errors="replace")
            where = os.readlink(process / "cwd")
        except OSError:
            continue
        if str(folder) in arguments or where.startswith(str(folder)):
            found.append(arguments)
    return found
