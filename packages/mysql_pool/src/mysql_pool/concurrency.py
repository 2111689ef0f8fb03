"""Where greenlets and threads differ: who runs here, and how something is run beside it.

Everything else in this package uses ``threading`` and ``time`` as they are; gevent patches them.
"""

import select
import sys
import threading
import weakref


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
    from gevent.threadpool import ThreadPool
    from gevent.util import wrap_errors
    from greenlet import getcurrent as current

    _main_hub = None
    # Of our own: connects to a server that does not answer would take all threads of the hub's
    # pool, and with them everybody's look-ups of names.
    _threads: ThreadPool | None = None

    def is_dead(owner) -> bool:
        """Whether the greenlet that took a connection has ended without giving it back."""
        return owner.dead

    def frame_of(owner):
        """The stack frame in which a greenlet waits, or None."""
        return owner.gr_frame

    def origin_of(owner):
        """The stack frame that started a greenlet, or None; gevent keeps it."""
        return getattr(owner, "spawning_stack", None)

    def name_of(owner) -> str:
        """What to call it in a log."""
        return getattr(owner, "name", type(owner).__name__)

    class Signal:
        """Wakes one greenlet, once. A third of what gevent's locks cost, which also keep time."""

        __slots__ = ("_greenlet", "_hub", "_is_set")
        keeps_time = False

        def __init__(self):
            self._greenlet, self._is_set = None, False

        def wait(self, seconds: float) -> bool:
            """Until ``set`` is called; it has to be, for ``seconds`` is somebody else's business.
            Returns whether it was."""
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

        def _resume(self):
            if self._greenlet is not None:  # else it was killed meanwhile
                self._greenlet.switch()

    def in_foreign_thread() -> bool:
        """Whether this is a native thread (gevent's thread pool) with a hub of its own.

        What waits for a socket waits in the hub of one thread: connections cannot be shared.
        """
        return not gevent.get_hub().main_hub

    def in_background(function, *args) -> None:
        """Run ``function`` beside the caller, in a greenlet of the main thread."""
        # Thread.start() waits until the thread runs. A caller that is killed in that moment leaves
        # half of its work undone, and gevent 26.9 keeps it, with all of its stack, for ever.
        global _main_hub
        hub = gevent.get_hub()
        if hub.main_hub:
            _main_hub = hub
            gevent.spawn(function, *args)
        elif _main_hub is None:
            raise RuntimeError("no greenlet of the main thread has used the pool yet")
        else:
            _main_hub.loop.run_callback_threadsafe(gevent.spawn, function, *args)

    def in_thread(function, *args, **kwargs):
        """Call ``function``, which would block the hub, in a thread beside it."""
        global _threads
        if in_foreign_thread():
            return function(*args, **kwargs)
        if _threads is None:
            _threads = ThreadPool(10)
        # An exception that is raised in there is also printed, whoever catches it here.
        quiet = wrap_errors(Exception, function)
        result = _threads.apply(quiet, args, kwargs)
        if isinstance(result, Exception):
            raise result
        return result

    def forget_threads() -> None:
        """In the child of a fork: the threads are the parent's."""
        global _threads
        _threads = None

    _native_lock = sys.modules["gevent.monkey"].get_original("_thread", "allocate_lock")
else:
    _here = threading.local()

    class _Presence:
        """Lives as long as its thread. A thread that Python did not start (``_thread``, a C
        extension) has an object in ``threading`` that says for ever that it is alive."""

        __slots__ = ("__weakref__", "ident", "name")

        def __init__(self):
            self.ident, self.name = threading.get_ident(), threading.current_thread().name

    def current() -> weakref.ref[_Presence]:
        """Who runs here: something that is dead when the thread is."""
        try:
            return _here.reference
        except AttributeError:
            _here.presence = _Presence()
            _here.reference = weakref.ref(_here.presence)
            return _here.reference

    def is_dead(owner) -> bool:
        """Whether the thread that took a connection has ended without giving it back."""
        return owner() is None

    def frame_of(owner):
        """The stack frame in which a thread is just now, or None."""
        presence = owner()
        return presence and sys._current_frames().get(presence.ident)

    def origin_of(owner):
        """The stack frame that started a thread: nobody keeps it."""

    def name_of(owner) -> str:
        """What to call it in a log."""
        presence = owner()
        return "a thread that has ended" if presence is None else presence.name

    def in_foreign_thread() -> bool:
        """All threads are alike."""
        return False

    def in_background(function, *args) -> None:
        """Run ``function`` beside the caller, in a daemon thread of its own.

        Raises ``RuntimeError`` when no thread can be started.
        """
        name = function.__qualname__
        threading.Thread(target=function, args=args, name=name, daemon=True).start()

    def in_thread(function, *args, **kwargs):
        """Call ``function``: a thread blocks nobody but itself."""
        return function(*args, **kwargs)

    def forget_threads() -> None:
        """Nothing to do."""

    _native_lock = threading.Lock


class NativeSignal:
    """Wakes one thread, once."""

    __slots__ = ("_is_set", "_lock")
    keeps_time = True

    def __init__(self):
        self._lock = _native_lock()
        self._lock.acquire()
        self._is_set = False

    def wait(self, seconds: float) -> bool:
        """Until ``set`` is called, or so long; whether it was."""
        return self._lock.acquire(timeout=max(seconds, 0))

    def set(self) -> None:
        """From any thread; the second time does nothing."""
        if not self._is_set:
            self._is_set = True
            self._lock.release()


if not patched():
    Signal = NativeSignal
