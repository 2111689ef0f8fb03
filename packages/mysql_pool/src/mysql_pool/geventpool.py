"""django-db-geventpool's pool class over `Pool`, for code that was written for that package.

An adapter, and imported only by ``DatabaseWrapper.pool``: `Pool` needs nothing of that class, and
projects without gevent do not install its package. In django-db-geventpool 4.0.8

* the bound is a race: ``get()`` checks the size, connects, and counts afterwards
  (MAX_CONNS=20 in 2 workers opened 89-108 connections under a burst);
* ``get()`` waits without limit, and a connection that is lost never wakes a waiter;
* every checkout sends a ``SELECT 1``.
"""

from collections.abc import Callable

from django_db_geventpool.backends.pool import (  # type: ignore[import-untyped]  # it has no types
    DatabaseConnectionPool,
)

from .pool import Pool
from .session import Session


class GeventPool(DatabaseConnectionPool):  # type: ignore[misc]  # it has no types
    """The same pool that the wrappers of this alias use, with its bound and its POOL_TIMEOUT.

    Args:
        pool: the pool of an alias.
        new_session: makes a session on it that keeps its connection until it is closed.
    """

    def __init__(self, pool: Pool, new_session: Callable[[], Session]):
        # Not calling super().__init__(), which makes a queue of its own.
        self._pool, self._new_session = pool, new_session

    @property
    def maxsize(self) -> int:
        """MAX_CONNS: so many connections exist at most."""
        return self._pool.inventory.limits.max_conns

    @property
    def size(self) -> int:
        """So many connections exist now; those that are being opened or closed count."""
        return len(self._pool.inventory.slots)

    def get(self) -> Session:
        """A connection; the caller has to ``put()`` it back. Raises the driver's errors, also
        `PoolTimeout` and `TooManyWaiting`, which are subclasses of its ``OperationalError``."""
        session = self._new_session()
        session.checkout()
        return session

    def put(self, item: Session) -> None:
        """Take back what ``get()`` gave, which cannot be used any more; an open transaction is
        rolled back."""
        item.close()

    def close(self) -> None:
        """Close all idle connections now and the others when they are given back."""
        self._pool.close()
