"""What the lab of real hosts answers where it cannot run, and what CI makes of that. The lab's own
tests are in tests/lab.
"""

import os
import subprocess
import sys

import pytest

from tests.places import REPOSITORY

NOT_ROOT = "import os, runpy, sys; os.geteuid = lambda: 1000; "
SENTENCE = "The lab cannot run here: the lab makes machines and a bridge: it has to run as root."


@pytest.mark.parametrize(
    ("program", "folder"),
    [
        ("runpy.run_module('machines', run_name='__main__')", REPOSITORY / "tests" / "lab"),
        ("import pytest; sys.exit(pytest.main(['tests/lab', '-q']))", REPOSITORY),
    ],
    ids=["by hand", "pytest"],
)
def test_where_it_cannot_run_it_says_why_with_a_status_of_its_own(program, folder):
    done = subprocess.run(
        [sys.executable, "-c", NOT_ROOT + program, "tools"],
        cwd=folder,
        env=os.environ | {"LAB": "core"},
        capture_output=True,
        text=True,
    )
    assert SENTENCE in done.stdout + done.stderr
    assert done.returncode == 77


@pytest.mark.parametrize(
    ("can", "passes", "status", "said"),
    [
        (0, 0, 0, "make lab-test"),
        (0, 2, 2, "make lab-test"),
        (77, 0, 0, "LAB NOT RUN: no root"),
        (1, 0, 1, "no root"),
    ],
    ids=["passes", "fails", "cannot run", "breaks before"],
)
def test_ci_goes_on_without_the_lab_only_where_it_cannot_run(tmp_path, can, passes, status, said):
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho some noise\necho no root >&2\nexit {can}\n")
    python.chmod(0o755)
    (tmp_path / "tests/lab").mkdir(parents=True)
    ci = (REPOSITORY / ".ci/run").read_text()
    function = ci[ci.index("lab() {") : ci.index("\n}\n", ci.index("lab() {")) + 3]
    script = f'set -euo pipefail\nmake() {{ echo "make $*"; return {passes}; }}\n{function}lab\n'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert said in done.stdout
    assert done.returncode == status
