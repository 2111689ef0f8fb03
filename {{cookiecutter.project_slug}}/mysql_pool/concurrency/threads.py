"""Who runs here, and how something is run beside it, in threads: without gevent.

`greenlets` has the same functions.
"""

import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, TypeVar

from .signals import NativeSignal

P = ParamSpec("P")
T = TypeVar("T")

Signal = NativeSignal
_here = threading.local()


class Presence:
    """Lives as long as its thread. A thread that Python did not start (``_thread``, a C
    extension) has an object in ``threading`` that says for ever that it is alive."""

    __slots__ = ("__weakref__", "ident", "name")

    def __init__(self) -> None:
        self.ident, self.name = threading.get_ident(), threading.current_thread().name


Owner = weakref.ref[Presence]


def current() -> Owner:
    """Who runs here: something that is dead when the thread is."""
    try:
        reference: Owner = _here.reference
    except AttributeError:
        _here.presence = Presence()
        reference = _here.reference = weakref.ref(_here.presence)
    return reference


def is_dead(owner: Owner) -> bool:
    """Whether the thread that took a connection has ended without giving it back."""
    return owner() is None


def frame_of(owner: Owner) -> FrameType | None:
    """The stack frame in which a thread is just now, or None."""
    presence = owner()
    return None if presence is None else sys._current_frames().get(presence.ident)


def origin_of(owner: Owner) -> FrameType | None:
    """The stack frame that started a thread: nobody keeps it."""
    return None


def name_of(owner: Owner) -> str:
    """What to call it in a log."""
    presence = owner()
    return "a thread that has ended" if presence is None else presence.name


def in_foreign_thread() -> bool:
    """All threads are alike."""
    return False


def in_background(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ``function`` beside the caller, in a daemon thread of its own.

    Raises ``RuntimeError`` when no thread can be started.
    """
    name = function.__qualname__
    threading.Thread(target=function, args=args, kwargs=kwargs, name=name, daemon=True).start()


def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``function``: a thread blocks nobody but itself."""
    return function(*args, **kwargs)


def forget_threads() -> None:
    """Nothing to do."""
