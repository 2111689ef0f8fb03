"""What a worker class is in the budget's words, and what its kind asks of Gunicorn's master.

Not for the worker itself (worker.py), which a master of other kinds must not import.
"""

import sys

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

FAIR_GEVENT = "gunicorn_budget.worker.FairGeventWorker"

#: The budget's worker classes and what they are as Gunicorn's setting worker_class.
CLASSES = {"gevent": FAIR_GEVENT, "gthread": "gthread", "sync": "sync"}

# By name, as an import of these classes would import gevent. The first base that matches counts.
_KINDS = {"GeventWorker": "gevent", "ThreadWorker": "gthread", "SyncWorker": "sync"}


def kind_of(worker_class: type[Worker]) -> str:
    """gevent, gthread or sync; for a class that the budget does not know, the class's own name."""
    names = [base.__name__ for base in worker_class.__mro__]
    return next((_KINDS[name] for name in names if name in _KINDS), names[0])


def serves_in_turn(worker_class: type[Worker]) -> bool:
    """Whether its clients are served in turn; only a gevent worker can be without it."""
    if kind_of(worker_class) != "gevent":
        return True
    from gunicorn_budget.worker import FairGeventWorker  # with such a class, gevent is there

    return issubclass(worker_class, FairGeventWorker)


def refuse_late_patching(server: Arbiter) -> None:
    """Raise RuntimeError, which ends Gunicorn, if gevent would patch after what it has to patch.

    A gevent worker patches after the fork; what the master has imported by then stays blocking.
    """
    if kind_of(server.worker_class) != "gevent":
        return
    monkey = sys.modules.get("gevent.monkey")
    if server.cfg.preload_app:
        raise RuntimeError(
            "preload_app does not go with gevent workers: the application would be imported in the "
            "master, before gevent patches. Leave preload_app out."
        )
    if "django" in sys.modules and not (monkey and monkey.is_module_patched("threading")):
        raise RuntimeError(
            "Django is imported in Gunicorn's master, before gevent patches: its connections would "
            "be shared by all requests of a worker. Import nothing of it in gunicorn.conf.py."
        )
