"""How one who waits is woken up. Knows neither the pool nor its queue."""

import sys
import threading


def patched(module: str = "threading") -> bool:
    """Whether gevent has patched ``module`` in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched(module))


if patched():
    _native_lock = sys.modules["gevent.monkey"].get_original("_thread", "allocate_lock")
else:
    _native_lock = threading.Lock


class NativeSignal:
    """Wakes one thread, once."""

    __slots__ = ("_is_set", "_lock")
    keeps_time = True

    def __init__(self) -> None:
        self._lock: threading.Lock = _native_lock()
        self._lock.acquire()
        self._is_set = False

    def wait(self, seconds: float) -> bool:
        """Until ``set`` is called, at most ``seconds``. Returns whether it was called."""
        return self._lock.acquire(timeout=max(seconds, 0))

    def set(self) -> None:
        """From any thread; the second time does nothing."""
        if not self._is_set:
            self._is_set = True
            self._lock.release()
