"""One place in a pool's queue. Knows nothing of the pool, nor of the others that wait."""

from .concurrency import NativeSignal, Owner, Signal, current
from .holder import Holder
from .places import Place
from .slot import Slot


class Waiter:
    """Wakes up because its holder has a connection, because of an error, or with nothing.

    ``deadline`` is on the pool's clock. In greenlets the pool's watcher keeps it for all: a timer
    for each would cost as much as the wait.
    """

    __slots__ = ("_signal", "deadline", "error", "granted", "holder", "owner", "place")

    def __init__(self, holder: Holder, deadline: float, place: Place | None):
        self.holder, self.place = holder, place
        self.owner: Owner = current()
        self.deadline = deadline
        self.error: Exception | None = None
        self.granted: Slot | None = None
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
        """Wake it up, once. What is handed over has to be in its place before."""
        self._signal.set()

    def wait(self, seconds: float) -> None:
        """Until ``wake`` is called; at most ``seconds``, if it keeps its time by itself."""
        self._signal.wait(seconds)
