"""Worker classes in the budget's words, and what a gevent one asks of Gunicorn's master."""

from collections.abc import Callable

import pytest
from gunicorn.util import load_class

from gunicorn_budget.worker_kinds import CLASSES, kind_of, serves_in_turn
from packages.gunicorn_budget.tests.examples import HOOKS, WORKER
from packages.gunicorn_budget.tests.gunicorns import Gunicorn

#: A class of somebody else, as Gunicorn's documentation shows how to make one.
FOREIGN = """
from gunicorn.workers.{module} import {base}

class Foreign({base}):
    pass

worker_class = Foreign
"""


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        *((setting, kind) for kind, setting in CLASSES.items()),
        ("gevent", "gevent"),
        ("gevent_pywsgi", "gevent"),
        ("gunicorn.workers.gthread.ThreadWorker", "gthread"),
        ("gunicorn.workers.base.Worker", "Worker"),
    ],
)
def test_a_class_has_the_kind_of_its_first_base_that_the_budget_knows(
    setting: str, kind: str
) -> None:
    assert kind_of(load_class(setting)) == kind
    assert kind_of(type("Foreign", (load_class(setting),), {})) in (kind, "Foreign")


def test_of_gevent_workers_only_ours_serve_in_turn() -> None:
    fair = load_class(CLASSES["gevent"])
    assert serves_in_turn(fair)
    assert serves_in_turn(type("Foreign", (fair,), {}))
    assert serves_in_turn(load_class("gthread"))
    assert not serves_in_turn(load_class("gevent"))


UNFAIR = "does not serve its clients in turn"


def test_the_command_line_gets_the_worker_it_asks_for_and_one_line_in_the_log(
    gunicorn: Callable[..., Gunicorn],
) -> None:
    server = gunicorn(WORKER + HOOKS, "--worker-class", "gevent")
    server.get()
    assert "Using worker: gevent\n" in server.output()
    assert server.output().count(UNFAIR) == 1


def test_so_does_a_class_of_somebody_else(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn(HOOKS + FOREIGN.format(module="ggevent", base="GeventWorker"))
    server.get()
    assert f"Worker class Foreign {UNFAIR}" in server.output()


@pytest.mark.parametrize("kind", CLASSES)
def test_nothing_is_said_of_the_others_and_only_gevent_imports_gevent(
    gunicorn: Callable[..., Gunicorn], kind: str
) -> None:
    server = gunicorn(HOOKS + f"worker_class = {CLASSES[kind]!r}\n")
    assert f"'gevent': {kind == 'gevent'}" in server.get()
    assert UNFAIR not in server.output()


class TestAGeventMasterIsRefused:
    def refused(self, server: Gunicorn) -> str:
        assert server.exit_code() == 1
        assert "Listening" not in server.output()
        assert "Traceback" not in server.output()
        return server.output()

    @pytest.mark.parametrize("settings", [WORKER, "worker_class = 'gevent'\n"])
    def test_with_preload_app(self, gunicorn: Callable[..., Gunicorn], settings: str) -> None:
        text = self.refused(gunicorn(settings + HOOKS, "--preload"))
        assert "preload_app does not go with gevent workers" in text

    def test_with_django(self, gunicorn: Callable[..., Gunicorn]) -> None:
        text = self.refused(gunicorn("import django.db\n" + WORKER + HOOKS))
        assert "Django is imported in Gunicorn's master" in text


def test_threads_may_be_preloaded(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn("import django.db\n" + HOOKS, "--worker-class", "gthread", "--preload")
    assert "'gevent': False" in server.get()
