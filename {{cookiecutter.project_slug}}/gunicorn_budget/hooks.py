"""Gunicorn's server hooks, by Gunicorn's names, that need no budget.

https://gunicorn.org/reference/settings/#server-hooks; the one that needs a budget is
`guard.Guard.nworkers_changed`, which does what the one here does and more.
"""

import os
import sys

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from gunicorn_budget import backlog
from gunicorn_budget.collector import collect_less
from gunicorn_budget.worker_kinds import FAIR_GEVENT, refuse_late_patching, serves_in_turn

__all__ = ["FAIR_GEVENT", "nworkers_changed", "post_worker_init", "when_ready", "worker_exit"]


def nworkers_changed(server: Arbiter, new_value: int, old_value: int | None) -> None:
    """Before Gunicorn listens or loads the application; RuntimeError ends it with its text."""
    refuse_late_patching(server)


def when_ready(server: Arbiter) -> None:
    """When Gunicorn listens; as `on_reload` too, after each reload."""
    backlog.put_in_force(server)
    if server.log and not serves_in_turn(server.worker_class):
        server.log.warning(
            "Worker class %s does not serve its clients in turn: a busy one holds up the others. "
            "%s does (BUDGET_WORKER_CLASS=gevent).",
            server.worker_class.__name__,
            FAIR_GEVENT,
        )


def post_worker_init(worker: Worker) -> None:
    """Say when a worker has loaded the application; Gunicorn only says when it begins to."""
    collect_less()
    worker.log.info("Worker ready (pid: %s)", worker.pid)


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """Tell the database server that this worker's connections end (COM_QUIT)."""
    pool = sys.modules.get("mysql_pool")
    if pool is not None and str(worker.pid) == str(os.getpid()):
        pool.close_pool()
