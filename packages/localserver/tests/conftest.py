"""What the tests of the private server share."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def in_another_process() -> Callable[..., subprocess.Popen[str]]:
    """``in_another_process(code, *arguments)`` runs Python; its output can be read."""

    def run(code: str, *arguments: str, start_new_session: bool = False) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=start_new_session,
        )

    return run


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user can get to.

    Not below tmp_path: each pytest that starts closes the folder all of them share.
    """
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
