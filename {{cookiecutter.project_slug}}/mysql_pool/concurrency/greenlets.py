"""Who runs here, and how something is run beside it, in greenlets: where gevent has patched.

`threads` has the same functions. Import neither: import them from the package.
"""

from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import ParamSpec, TypeVar

import gevent
from gevent.hub import Hub
from gevent.threadpool import ThreadPool
from gevent.util import wrap_errors
from greenlet import getcurrent as current
from greenlet import greenlet as Owner  # noqa: N812 - its name in `threads`

__all__ = [
    "Owner",
    "Signal",
    "current",
    "forget_threads",
    "frame_of",
    "in_background",
    "in_foreign_thread",
    "in_thread",
    "is_dead",
    "name_of",
    "origin_of",
]

P = ParamSpec("P")
T = TypeVar("T")

_main_hub: Hub | None = None
# Of our own: connects to a server that does not answer would take all threads of the hub's
# pool, and with them everybody's look-ups of names.
_threads: ThreadPool | None = None


def is_dead(owner: Owner) -> bool:
    """Whether the greenlet that took a connection has ended without giving it back."""
    return owner.dead


def frame_of(owner: Owner) -> FrameType | None:
    """The stack frame in which a greenlet waits, or None."""
    return owner.gr_frame


def origin_of(owner: Owner) -> FrameType | None:
    """The stack frame that started a greenlet, or None; gevent keeps it."""
    return getattr(owner, "spawning_stack", None)


def name_of(owner: Owner) -> str:
    """What to call it in a log."""
    return getattr(owner, "name", type(owner).__name__)


class Signal:
    """Wakes one greenlet, once. A third of what gevent's locks cost, which also keep time."""

    __slots__ = ("_greenlet", "_hub", "_is_set")
    keeps_time = False

    def __init__(self) -> None:
        self._greenlet: Owner | None = None
        self._is_set = False

    def wait(self, seconds: float) -> bool:
        """Until ``set`` is called. Somebody else has to call it after ``seconds``. Returns True."""
        self._hub = gevent.get_hub()
        self._greenlet = current()
        try:
            while not self._is_set:
                self._hub.switch()
        finally:
            self._greenlet = None
        return True

    def set(self) -> None:
        """From any thread."""
        self._is_set = True
        if self._greenlet is not None:
            loop = self._hub.loop
            if gevent.get_hub() is self._hub:
                loop.run_callback(self._resume)
            else:
                loop.run_callback_threadsafe(self._resume)

    def _resume(self) -> None:
        if self._greenlet is not None:  # else it was killed meanwhile
            self._greenlet.switch()


def in_foreign_thread() -> bool:
    """Whether this is a native thread (gevent's thread pool) with a hub of its own.

    What waits for a socket waits in the hub of one thread: connections cannot be shared.
    """
    return not gevent.get_hub().main_hub


def in_background(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ``function`` beside the caller, in a greenlet of the main thread.

    Raises ``RuntimeError`` in a native thread, if no greenlet has called this before.
    """
    # Thread.start() waits until the thread runs. A caller that is killed in that moment leaves
    # half of its work undone, and gevent 26.9 keeps it, with all of its stack, for ever.
    global _main_hub
    hub = gevent.get_hub()
    if hub.main_hub:
        _main_hub = hub
        gevent.spawn(function, *args, **kwargs)
    elif _main_hub is None:
        raise RuntimeError("no greenlet of the main thread has used the pool yet")
    else:
        _main_hub.loop.run_callback_threadsafe(partial(gevent.spawn, function, *args, **kwargs))


def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``function``, which would block the hub, in a thread beside it."""
    global _threads
    if in_foreign_thread():
        return function(*args, **kwargs)
    if _threads is None:
        _threads = ThreadPool(10)
    # gevent prints an exception that is raised in there, also if it is caught here.
    quiet = wrap_errors((Exception,), function)
    result: T | Exception = _threads.apply(quiet, args, kwargs)
    if isinstance(result, Exception):
        raise result
    return result


def forget_threads() -> None:
    """In the child of a fork: the threads are the parent's."""
    global _threads
    _threads = None
