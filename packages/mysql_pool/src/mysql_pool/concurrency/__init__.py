"""Where greenlets and threads differ: who runs here, and how something is run beside it.

Everything else in this package uses ``threading`` and ``time`` as they are; gevent patches them.
"""

import select
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .signals import NativeSignal, patched

# A type checker reads one of two modules with the same functions: test_concurrency.py compares.
if TYPE_CHECKING or not patched():
    from .threads import (
        Owner,
        Signal,
        current,
        forget_threads,
        frame_of,
        in_background,
        in_foreign_thread,
        in_thread,
        is_dead,
        name_of,
        origin_of,
    )
else:
    from .greenlets import (
        Owner,
        Signal,
        current,
        forget_threads,
        frame_of,
        in_background,
        in_foreign_thread,
        in_thread,
        is_dead,
        name_of,
        origin_of,
    )

__all__ = [
    "Mutex",
    "NativeSignal",
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
    "patched",
    "poll",
]

# gevent's poll() runs the hub even for a timeout of 0, and a look at one's own idle socket must not
# let others run in the middle of a checkout.
poll: Callable[[], select.poll] = select.poll
if patched("select"):
    poll = sys.modules["gevent.monkey"].get_original("select", "poll")

# For a few instructions in which no greenlet is switched: the C lock, which no greenlet ever waits
# for, is 8 times cheaper than gevent's. Reentrant, because a garbage collection in these
# instructions may run the `finally` of a generator, which gives back a connection.
Mutex: Callable[[], threading.RLock] = threading.RLock
if patched():
    Mutex = sys.modules["gevent.monkey"].get_original("_thread", "RLock")
