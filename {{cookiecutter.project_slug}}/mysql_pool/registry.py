"""The pools of this process, one for each alias and set of connection parameters.

The test runner's database and the ``__no_db__`` alias differ in their parameters and so get pools
of their own; the pool of the parameters that an alias had before is closed.
"""

import atexit
import os
import threading

from .pool import Pool

_pools: dict[str, tuple[dict, Pool]] = {}
_lock = threading.Lock()


def pool_for(alias: str, parameters: dict, make) -> Pool:
    """The pool of ``alias``; ``make()`` builds it if there is none for these parameters."""
    known = _pools.get(alias)
    if known is not None and known[0] == parameters:
        return known[1]
    with _lock:
        known = _pools.get(alias)
        if known is None or known[0] != parameters:
            if known is not None:
                known[1].close()
            known = _pools[alias] = (parameters, make())
    return known[1]


def pools() -> dict[str, Pool]:
    """The pools in use now, by alias."""
    return {alias: pool for alias, (_, pool) in _pools.items()}


def stats() -> dict[str, dict]:
    """What each pool of this process has counted, by alias; see ``Pool.stats``."""
    return {alias: pool.stats() for alias, pool in pools().items()}


def close_pool(alias: str | None = None) -> None:
    """Close the idle connections of one alias, or of all; those in use when they come back.

    For the end of a worker process, and before and after a fork (Celery calls it).
    """
    for name, pool in pools().items():
        if alias in (None, name):
            pool.close()


def _forget_after_fork() -> None:
    for pool in pools().values():
        pool.forget_after_fork()


def _say_goodbye() -> None:
    for pool in pools().values():
        pool.say_goodbye()


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(_say_goodbye)  # `manage.py`; a worker's connections are closed before
