"""Where greenlets and threads differ: who runs here, and how something is run beside it.

Everything else in this package uses ``threading`` and ``time`` as they are; gevent patches them.
"""

import select
import sys
import threading


def patched(module: str = "threading") -> bool:
    """Whether gevent has patched ``module`` in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched(module)


def _blocking_poll():
    # gevent's poll() runs the hub even for a timeout of 0, and a look at one's own idle socket
    # must not let others run in the middle of a checkout.
    if patched("select"):
        return sys.modules["gevent.monkey"].get_original("select", "poll")
    return select.poll


poll = _blocking_poll()


def _mutex():
    # For a few instructions in which no greenlet is switched: the C lock, which no greenlet ever
    # waits for, is 8 times cheaper than gevent's. Reentrant, because a garbage collection in these
    # instructions may run somebody's `finally`, which gives back a connection.
    if patched():
        return sys.modules["gevent.monkey"].get_original("_thread", "RLock")
    return threading.RLock


Mutex = _mutex()

if patched():
    import gevent
    from gevent.util import wrap_errors
    from greenlet import getcurrent as current

    def is_dead(owner) -> bool:
        """Whether the greenlet that took a connection has ended without giving it back."""
        return owner.dead

    def frame_of(owner):
        """The stack frame in which a greenlet waits, or None."""
        return owner.gr_frame

    def origin_of(owner):
        """The stack frame that started a greenlet, or None; gevent keeps it."""
        return getattr(owner, "spawning_stack", None)

    def in_background(function, *args) -> None:
        """Run ``function`` beside the caller, in a greenlet of its own."""
        # Thread.start() waits until the thread runs. A caller that is killed in that moment leaves
        # half of its work undone, and gevent 26.9 keeps it, with all of its stack, for ever.
        gevent.spawn(function, *args)

    def in_thread(function, *args, **kwargs):
        """Call ``function``, which would block the hub, in a thread of the hub's pool."""
        # An exception that is raised in there is also printed, whoever catches it here.
        quiet = wrap_errors(Exception, function)
        result = gevent.get_hub().threadpool.apply(quiet, args, kwargs)
        if isinstance(result, Exception):
            raise result
        return result
else:
    current = threading.current_thread

    def is_dead(owner) -> bool:
        """Whether the thread that took a connection has ended without giving it back."""
        return not owner.is_alive()

    def frame_of(owner):
        """The stack frame in which a thread is just now, or None."""
        return sys._current_frames().get(owner.ident)

    def origin_of(owner):
        """The stack frame that started a thread: nobody keeps it."""

    def in_background(function, *args) -> None:
        """Run ``function`` beside the caller, in a daemon thread of its own."""
        name = function.__qualname__
        threading.Thread(target=function, args=args, name=name, daemon=True).start()

    def in_thread(function, *args, **kwargs):
        """Call ``function``: a thread blocks nobody but itself."""
        return function(*args, **kwargs)
