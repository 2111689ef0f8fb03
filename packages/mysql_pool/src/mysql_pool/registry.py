"""The pools of this process, one for each alias.

The test runner's database and a tenant's differ in their parameters; under one alias they share
its bound.
"""

import atexit
import os
import threading
from collections.abc import Callable
from typing import Any

from .concurrency import forget_threads
from .ledger.reading import Host
from .ledger.reading import read_host as ledger_at
from .pool import Pool

_pools: dict[str, Pool] = {}
_lock = threading.Lock()


def pool_for(alias: str, make: Callable[[], Pool]) -> Pool:
    """The pool of ``alias``; ``make()`` builds it if there is none."""
    pool = _pools.get(alias)
    if pool is None:
        with _lock:
            pool = _pools.get(alias)
            if pool is None:
                pool = _pools[alias] = make()
    return pool


def forget_pools() -> None:
    """Begin without any pool, as tests do. The pools have to be closed before."""
    for pool in pools().values():
        pool.leave_host()
    _pools.clear()


def pools() -> dict[str, Pool]:
    """The pools in use now, by alias."""
    return _pools.copy()


def stats() -> dict[str, dict[str, Any]]:
    """What each pool of this process has counted, by alias; see ``Pool.stats``."""
    return {alias: pool.stats() for alias, pool in pools().items()}


def read_host(path: str) -> Host:
    """All pools of this host that count their connections in the ledger at ``path``: those of all
    processes, and the sums of those that have ended.

    Raises `mysql_pool.ledger.file.Unusable`, with the reason in words, if it cannot be read.
    """
    for pool in pools().values():
        pool.tell_host()
    return ledger_at(path)


def close_pool(alias: str | None = None) -> None:
    """Close the idle connections of one alias, or of all; those in use when they come back.

    For the end of a worker process, and before and after a fork (Celery calls it).
    """
    for name, pool in pools().items():
        if alias in (None, name):
            pool.close()


def _forget_after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have had it
    forget_threads()
    for pool in pools().values():
        pool.forget_after_fork()


def _say_goodbye() -> None:
    for pool in pools().values():
        pool.say_goodbye()


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(_say_goodbye)  # `manage.py`; a worker's connections are closed before
