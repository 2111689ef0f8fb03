"""One place in a pool's queue. Knows nothing of the pool, nor of the others that wait."""

import threading

from .concurrency import current
from .drivers import PhysicalConnection


class Waiter:
    """One place in the queue: wakes up with a connection, an error, or not at all."""

    __slots__ = ("_lock", "connection", "error", "owner", "place")

    def __init__(self, place):
        self.owner, self.place = current(), place
        self._lock = threading.Lock()
        self._lock.acquire()
        self.connection: PhysicalConnection | None = None
        self.error: Exception | None = None

    def wake(self, connection=None, error=None):
        self.connection, self.error = connection, error
        self._lock.release()

    def wait(self, seconds: float) -> bool:
        return self._lock.acquire(timeout=max(seconds, 0))
