"""Deployments to real hosts made on this machine. Collected only by `make lab-test` (LAB=core) and
`make lab-test-full` (LAB=full): they need root, and change this machine's network while they run.
"""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.lab.machines import Busy, CannotMakeMachines, Lab

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
FOLDER = Path(os.environ.get("LAB_DIR", REPOSITORY / ".lab"))

WANTED = os.environ.get("LAB")
if WANTED not in ("core", "full"):
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(config, items):
    """The core is what is not marked `full`."""
    if WANTED == "core":
        full = [
            item for item in items if item.path.parent == HERE and item.get_closest_marker("full")
        ]
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]


@pytest.fixture(scope="session")
def lab():
    """The machines of this run; whatever happens, nothing of them is left. Ends the run where there
    cannot be any.
    """
    # As Ctrl-C: pytest ends its fixtures. Without it, the default action would leave all machines.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        try:
            lab = stack.enter_context(Lab(FOLDER))
        except CannotMakeMachines as error:
            pytest.exit(f"The lab cannot run here: {error}.", returncode=error.EXIT_STATUS)
        except Busy as error:
            pytest.exit(f"The lab: {error}.", returncode=1)
        yield lab
