"""`greenlets` and `threads` have the same functions: a type checker reads one of them only."""

import inspect
import subprocess
import sys

from mysql_pool.concurrency import threads

#: What `mysql_pool.concurrency` takes from either.
NAMES = [
    "Signal.set",
    "Signal.wait",
    "forget_threads",
    "frame_of",
    "in_background",
    "in_foreign_thread",
    "in_thread",
    "is_dead",
    "name_of",
    "origin_of",
]


def shape(module, path):
    """The names and kinds of the parameters of what ``path`` is in ``module``."""
    found = module
    for name in path.split("."):
        found = getattr(found, name)
    return [(one.name, one.kind.name) for one in inspect.signature(found).parameters.values()]


def test_greenlets_and_threads_have_the_same_functions():
    # In a process of its own: `greenlets` needs what gevent has patched.
    program = """
from gevent import monkey; monkey.patch_all()
from mysql_pool.concurrency import greenlets
from packages.mysql_pool.tests.test_concurrency import NAMES, shape
for name in NAMES:
    print(name, shape(greenlets, name))
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines() == [f"{name} {shape(threads, name)}" for name in NAMES]
