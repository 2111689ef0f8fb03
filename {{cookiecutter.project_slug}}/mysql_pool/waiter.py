"""One place in a pool's queue. Knows nothing of the pool, nor of the others that wait."""

import threading

from .concurrency import current, native_lock


class Waiter:
    """Wakes up because its holder has a connection, because of an error, or not at all."""

    __slots__ = ("_lock", "error", "granted", "holder", "owner", "place")

    def __init__(self, holder, place):
        self.holder, self.owner, self.place = holder, current(), place
        self.error: Exception | None = None
        self.granted = None
        """A slot for a connection that the waiter opens itself."""
        # A native thread beside gevent's is woken by another thread; it blocks nobody but itself.
        self._lock = native_lock() if holder.inline else threading.Lock()
        self._lock.acquire()

    @property
    def served(self) -> bool:
        """Whether something was handed over."""
        return self.holder.held is not None or self.error is not None or self.granted is not None

    def wake(self) -> None:
        """Once: whatever is handed over is in its place already."""
        self._lock.release()

    def wait(self, seconds: float) -> bool:
        return self._lock.acquire(timeout=max(seconds, 0))
