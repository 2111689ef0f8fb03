"""Keeps Gunicorn within the connection budget: at its start, at a reload, and at signals between.

Not for the numbers (the package budget), nor for what is right without them (hooks.py).
"""

import os
from dataclasses import dataclass, replace
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from budget.fields import FIELDS
from budget.plan import Budget, BudgetError, Plan, plan
from budget.source import consumers_text, load
from gunicorn_budget.worker_kinds import CLASSES, kind_of, refuse_late_patching

#: Settings of Gunicorn and the fields of the budget they come from (and, overridden, go back to).
FROM_BUDGET = {
    "workers": "workers",
    "worker_class": "worker_class",
    "worker_connections": "worker_connections",
    "threads": "threads",
    "timeout": "request_deadline",
    "graceful_timeout": "graceful_timeout",
}


@dataclass(frozen=True)
class InForce:
    """A plan that was accepted, and Gunicorn's settings with which it was."""

    plan: Plan
    settings: dict[str, Any]


# Of this master: each reload makes a new Guard, and may have to go back to what the last accepted.
_in_force: InForce | None = None


class Guard:
    """The numbers of one start or reload, and Gunicorn's hook that holds Gunicorn to them.

    `file` is the path of a budget.toml, which the environment overrides as everywhere. `settings`
    are Gunicorn's settings that follow; there are none where the numbers do not fit. That is no
    error yet: only the hook knows whether Gunicorn starts and has to end, or reloads and goes on.
    """

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self.settings: dict[str, Any] = {}
        self._checked = False
        self._read: Budget | BudgetError
        try:
            self._read = load(file)
            self.settings = settings_of(plan(self._read))
        except BudgetError as error:
            self._read = error

    def nworkers_changed(self, server: Arbiter, new_value: int, old_value: int | None) -> None:
        """Gunicorn's first hook: before a socket is opened, before the application is loaded.

        Raises RuntimeError, which ends Gunicorn with its text and exit code 1, if the numbers do
        not fit at a start. At a reload the old limits stay in force instead. Later calls are
        someone who changes the number of workers by signal (TTIN, TTOU).
        """
        global _in_force
        if self._checked:
            _keep_number_of_workers(server, new_value)
            return
        self._checked = True
        refuse_late_patching(server)
        try:
            accepted = plan(self._budget_of(server))
        except BudgetError as error:
            if _in_force is None:
                raise RuntimeError(f"The connection budget cannot be kept.\n{error}") from None
            _log(server).error("Reload: the old limits stay in force. %s", error)
            _restore(server, _in_force)
        else:
            names = (*FROM_BUDGET, "backlog")
            settings = {name: server.cfg.settings[name].get() for name in names}
            _in_force = InForce(accepted, settings)
        _hand_over(server, _in_force.plan)
        of_plan = _in_force.plan
        if of_plan.budget.sharing == "host":
            pools = f"that share {of_plan.host_connections} connections of this host"
        else:
            pools = f"with a pool of {of_plan.pool_size} each"
        _log(server).info(
            "Connection budget: %s workers %s; at most %s connections while hosts reload, "
            "%s allowed",
            of_plan.budget.workers,
            pools,
            of_plan.peak_connections,
            of_plan.max_user_connections,
        )

    def _budget_of(self, server: Arbiter) -> Budget:
        """The budget with what Gunicorn will really do: its command line wins over its file."""
        if isinstance(self._read, BudgetError):
            raise self._read
        values = {field: getattr(server.cfg, name) for name, field in FROM_BUDGET.items()}
        values["worker_class"] = kind_of(server.worker_class)
        if values["worker_class"] != "gthread":
            del values["threads"]
        return replace(self._read, **values)


def settings_of(accepted: Plan) -> dict[str, Any]:
    """Gunicorn's settings for a plan."""
    settings = {name: getattr(accepted.budget, field) for name, field in FROM_BUDGET.items()}
    settings["worker_class"] = CLASSES[accepted.budget.worker_class]
    if accepted.budget.worker_class != "gthread":
        settings["threads"] = 1  # Gunicorn turns sync with threads into gthread
    return {**settings, "backlog": accepted.backlog}


def _restore(server: Arbiter, before: InForce) -> None:
    """Put back the settings that were in force before a reload."""
    for name, value in before.settings.items():
        server.cfg.set(name, value)
    server.worker_class = server.cfg.worker_class
    server.num_workers = server.cfg.workers


def _hand_over(server: Arbiter, accepted: Plan) -> None:
    """Let the workers plan with what was checked here, through their environment.

    Not with a command line they cannot see, and not with a budget.toml that is edited before one of
    them is replaced: its pool would be of another size than the others'.
    """
    budget = accepted.budget
    checked_here = [f"BUDGET_FILE={os.devnull}"] + [
        f"BUDGET_{name.upper()}={getattr(budget, name)}" for name in FIELDS
    ]
    checked_here.append(f"BUDGET_CONSUMERS={consumers_text(budget)}")
    # A server that is frozen or cut off would hold a request, and its connection, for ever.
    checked_here.append(
        f"DB_READ_TIMEOUT={os.environ.get('DB_READ_TIMEOUT') or budget.request_deadline}"
    )
    server.cfg.set("raw_env", [*server.cfg.settings["raw_env"].get(), *checked_here])


def _keep_number_of_workers(server: Arbiter, wanted: int) -> None:
    """Refuse more workers than planned: each would bring a pool of its own."""
    if _in_force is None or wanted <= _in_force.plan.budget.workers:
        return
    planned = _in_force.plan.budget.workers
    _log(server).error(
        "%s workers refused: the budget is planned for %s. Change budget.toml and reload.",
        wanted,
        planned,
    )
    server.num_workers = planned


def _log(server: Arbiter) -> Logger:
    assert server.log is not None  # made before the first hook is called
    return server.log
