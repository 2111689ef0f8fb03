"""Gunicorn with nothing but this package, in a folder of the test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packages.gunicorn_budget.tests.gunicorns import Gunicorn, starting_in

#: What each of these tests needs beside.
OF_A_TEST = "import os\nbind = os.environ['GUNICORN_BIND']\ncontrol_socket_disable = True\n"

#: Answers with what the worker was told by its master.
APPLICATION = """
import os
import sys

def application(environ, start_response):
    start_response("200 OK", [])
    told = {name: os.environ[name] for name in os.environ if name.startswith(("BUDGET_", "DB_"))}
    return [repr({**told, "gevent": "gevent" in sys.modules}).encode()]
"""


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    """`gunicorn(settings, *arguments, **environment)` serves tmp_path's app.py, or this one."""
    (tmp_path / "app.py").write_text(APPLICATION)
    with starting_in(tmp_path) as start:

        def with_settings(settings: str, *arguments: str, **options: object) -> Gunicorn:
            (tmp_path / "gunicorn.conf.py").write_text(OF_A_TEST + settings)
            return start(*arguments, "app", **options)

        yield with_settings
