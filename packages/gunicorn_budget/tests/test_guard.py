"""Gunicorn under a budget: what is in force, what keeps it from starting, what changes nothing."""

import signal
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path

import pytest

from budget.plan import Budget, plan
from packages.gunicorn_budget.tests.examples import BUDGET, HOOKS
from packages.gunicorn_budget.tests.gunicorns import Gunicorn

#: Small enough to start quickly; threads, so that a worker needs no gevent.
TOML = """
[application]
workers = 2
worker_class = "gthread"
threads = 4
"""
PLAN = plan(Budget(workers=2, worker_class="gthread", threads=4))
TOO_MANY = str(PLAN.budget.max_connections)  # workers; each needs a connection, some are reserved


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "budget.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def guarded(file: Path, gunicorn: Callable[..., Gunicorn]) -> Callable[..., Gunicorn]:
    """`guarded(*arguments, **environment)` is Gunicorn with that budget."""
    return lambda *arguments, **environment: gunicorn(HOOKS + BUDGET, *arguments, **environment)


def told(server: Gunicorn) -> dict[str, str]:
    """What a worker finds in its environment."""
    return literal_eval(server.get())


class TestItStarts:
    def test_with_what_the_budget_says(self, guarded: Callable[..., Gunicorn]) -> None:
        server = guarded()
        server.has_workers(2)
        assert told(server)["BUDGET_THREADS"] == "4"
        assert f"Connection budget: 2 workers with a pool of {PLAN.pool_size} each" in (
            server.output()
        )

    @pytest.mark.parametrize(
        ("arguments", "environment"),
        [
            (["--workers", "3"], {}),
            ([], {"BUDGET_WORKERS": "3"}),
            ([], {"WEB_CONCURRENCY": "3"}),
            ([], {"GUNICORN_CMD_ARGS": "--workers=3"}),
        ],
    )
    def test_with_other_workers_who_are_told_so(
        self,
        guarded: Callable[..., Gunicorn],
        arguments: list[str],
        environment: dict[str, str],
    ) -> None:
        server = guarded(*arguments, **environment)
        server.has_workers(3)
        assert told(server)["BUDGET_WORKERS"] == "3"

    @pytest.mark.parametrize("given", ["gevent", "gunicorn_budget.worker.FairGeventWorker"])
    def test_with_a_worker_class_of_the_command_line(
        self, guarded: Callable[..., Gunicorn], given: str
    ) -> None:
        assert told(guarded("--worker-class", given))["BUDGET_WORKER_CLASS"] == "gevent"

    def test_and_a_server_that_is_cut_off_holds_no_request_for_longer_than_its_deadline(
        self, guarded: Callable[..., Gunicorn]
    ) -> None:
        assert told(guarded("--timeout", "20"))["DB_READ_TIMEOUT"] == "20"
        assert told(guarded(DB_READ_TIMEOUT="3"))["DB_READ_TIMEOUT"] == "3"


class TestItDoesNotStart:
    @pytest.mark.parametrize(
        ("arguments", "environment", "reason"),
        [
            (["--workers", TOO_MANY], {}, "B020"),
            ([], {"WEB_CONCURRENCY": TOO_MANY}, "B020"),
            ([], {"BUDGET_THREADS": "many"}, "BUDGET_THREADS"),
            (["--timeout", "1000"], {}, "B041"),
            (["-k", "gunicorn.workers.base.Worker"], {}, "worker_class = 'Worker'"),
        ],
    )
    def test_with_numbers_that_do_not_fit(
        self,
        guarded: Callable[..., Gunicorn],
        arguments: list[str],
        environment: dict[str, str],
        reason: str,
    ) -> None:
        server = guarded(*arguments, **environment)
        assert server.exit_code() == 1
        assert "The connection budget cannot be kept." in server.output()
        assert reason in server.output()
        assert "Listening" not in server.output()
        assert "Traceback" not in server.output()

    def test_without_its_file(self, guarded: Callable[..., Gunicorn], file: Path) -> None:
        file.unlink()
        server = guarded()
        assert server.exit_code() == 1
        assert "budget.toml" in server.output()


class TestWhileItRuns:
    def test_nobody_adds_a_worker_that_is_not_planned(
        self, guarded: Callable[..., Gunicorn]
    ) -> None:
        server = guarded()
        server.has_workers(2)
        before = server.workers()
        server.signal(signal.SIGTTIN)
        server.has_said("3 workers refused: the budget is planned for 2.")
        server.signal(signal.SIGUSR1)  # one after the other: TTIN is done with by then
        server.has_said("Handling signal: usr1")
        assert server.workers() == before

    def test_a_reload_takes_new_numbers(self, guarded: Callable[..., Gunicorn], file: Path) -> None:
        server = guarded()
        server.has_workers(2)
        file.write_text(TOML.replace("workers = 2", "workers = 3"))
        server.signal(signal.SIGHUP)
        server.has_said("Connection budget: 3 workers")
        server.has_ready_workers(2 + 3)

    @pytest.mark.parametrize("broken", ["workers = 100000", "no toml at all ["])
    def test_a_reload_with_a_broken_budget_changes_nothing(
        self, guarded: Callable[..., Gunicorn], file: Path, broken: str
    ) -> None:
        server = guarded("--threads", "5")
        server.has_ready_workers(2)
        old = server.workers()
        file.write_text(TOML.replace("workers = 2", broken))
        server.signal(signal.SIGHUP)
        server.until(lambda: len(server.workers()) == 2 and not server.workers() & old)
        assert "Reload: the old limits stay in force." in server.output()
        assert (told(server)["BUDGET_WORKERS"], told(server)["BUDGET_THREADS"]) == ("2", "5")

    def test_a_later_worker_plans_with_what_was_checked(
        self, guarded: Callable[..., Gunicorn], file: Path
    ) -> None:
        server = guarded()
        server.has_ready_workers(2)
        file.write_text(TOML.replace("threads = 4", "threads = 6"))  # not reloaded
        server.signal(signal.SIGTTOU)
        server.until(lambda: len(server.workers()) == 1)
        server.signal(signal.SIGTTIN)
        server.has_ready_workers(3)
        assert {told(server)["BUDGET_THREADS"] for _ in range(10)} == {"4"}
