"""Every command of the deployment tutorial, in its order, on a host that was just installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import REPOSITORY

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]
PAGE = REPOSITORY / "docs/tutorial/first-deployment.md"
ADDRESS = "203.0.113.10"
# What `make lab-test-full ARGS=...` hands down to every make below it; a reader's shell has none.
INHERITED = {"VIRTUAL_ENV", "ARGS", "LAB", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}


def commands():
    """The page's shell blocks."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.S | re.M)


def test_every_command_of_the_page_works(lab, tmp_path):
    host = lab.up("tutor")["tutor"]
    ssh = lab.connection_variables()
    identity = {"GIT_AUTHOR_NAME": "lab", "GIT_AUTHOR_EMAIL": "lab@example.com"}
    identity |= {name.replace("AUTHOR", "COMMITTER"): each for name, each in identity.items()}
    environment = {
        **{name: value for name, value in os.environ.items() if name not in INHERITED},
        **identity,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TEMPLATE": str(REPOSITORY),
        # What the page asks of its reader: that `ssh deploy@address` works.
        "ANSIBLE_PRIVATE_KEY_FILE": ssh["ansible_ssh_private_key_file"],
        "ANSIBLE_SSH_COMMON_ARGS": ssh["ansible_ssh_common_args"],
    }
    blocks = commands()
    assert len(blocks) == 9
    script = "set -eux\n" + "\n".join(blocks).replace(ADDRESS, host.address)
    done = subprocess.run(
        ["bash"],
        input=script,
        cwd=tmp_path,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    (lab.folder / "last-tutorial.log").write_text(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:]
