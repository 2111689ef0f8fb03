"""What a worker's garbage collections look at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from packages.gunicorn_budget.tests.examples import HOOKS
from packages.gunicorn_budget.tests.gunicorns import Gunicorn

#: Answers with how many objects a garbage collection looks at, and how many it leaves out.
APPLICATION = """
import gc

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"%d %d" % (len(gc.get_objects()), gc.get_freeze_count())]
"""


@pytest.mark.parametrize("worker_class", ["gevent", "gthread", "sync"])
def test_what_is_loaded_is_not_looked_at_again(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path, worker_class: str
) -> None:
    (tmp_path / "app.py").write_text(APPLICATION)
    looked_at, left_out = gunicorn(HOOKS, "--worker-class", worker_class).get().split()
    assert int(looked_at) < int(left_out) / 10
