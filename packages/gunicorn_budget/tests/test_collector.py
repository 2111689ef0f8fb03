"""What a worker's garbage collections look at, and how many there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gunicorn_budget.collector import YOUNGEST
from packages.gunicorn_budget.tests.examples import HOOKS
from packages.gunicorn_budget.tests.gunicorns import Gunicorn

#: Answers with how many objects a garbage collection looks at, how many it leaves out, and how many
#: new ones it waits for.
APPLICATION = """
import gc

def application(environ, start_response):
    start_response("200 OK", [])
    counts = len(gc.get_objects()), gc.get_freeze_count(), gc.get_threshold()[0]
    return [b"%d %d %d" % counts]
"""


@pytest.mark.parametrize("worker_class", ["gevent", "gthread", "sync"])
def test_what_is_loaded_is_not_looked_at_again_and_seldom_what_is_new(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path, worker_class: str
) -> None:
    (tmp_path / "app.py").write_text(APPLICATION)
    answer = gunicorn(HOOKS, "--worker-class", worker_class).get()
    looked_at, left_out, between = map(int, answer.split())
    assert looked_at < left_out / 10
    assert between == YOUNGEST
