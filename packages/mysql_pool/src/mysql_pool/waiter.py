"""One place in a pool's queue. Knows nothing of the pool, nor of the others that wait."""

from .concurrency import NativeSignal, Signal, current


class Waiter:
    """Wakes up because its holder has a connection, because of an error, or with nothing.

    ``deadline`` is on the pool's clock. In greenlets the pool's watcher keeps it for all: a timer
    for each would cost as much as the wait.
    """

    __slots__ = ("_signal", "deadline", "error", "granted", "holder", "owner", "place")

    def __init__(self, holder, deadline: float, place):
        self.holder, self.owner, self.place = holder, current(), place
        self.deadline = deadline
        self.error: Exception | None = None
        self.granted = None
        """A slot for a connection that the waiter opens itself."""
        # A native thread beside gevent's is woken by another thread; it blocks nobody but itself.
        self._signal = NativeSignal() if holder.inline else Signal()

    @property
    def served(self) -> bool:
        """Whether something was handed over."""
        return self.holder.held is not None or self.error is not None or self.granted is not None

    @property
    def keeps_time(self) -> bool:
        """Whether it wakes up by itself at its deadline."""
        return self._signal.keeps_time

    def wake(self) -> None:
        """Once: whatever is handed over is in its place already."""
        self._signal.set()

    def wait(self, seconds: float) -> None:
        self._signal.wait(seconds)
