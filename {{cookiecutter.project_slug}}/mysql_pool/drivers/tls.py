"""TLS for a driver that leaves it to Python's ``ssl``: what all connections of a process share."""

import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any

from ..concurrency import in_thread, patched

#: A driver's options for TLS, by the name that it gives them; or a context of the program's.
Options = dict[str, Any] | ssl.SSLContext
_Stamp = tuple[int, int] | None
_contexts: dict[str, tuple[tuple[_Stamp, ...], ssl.SSLContext]] = {}


def shared_context(
    options: Options, make: Callable[[dict[str, Any]], ssl.SSLContext]
) -> ssl.SSLContext:
    """The context for these options; ``make(options)`` makes the first one, and another when a
    file that they name has been replaced (certificates are renewed).

    PyMySQL 1.2 loads the whole CA store into a new context for every connection, also when the
    server offers no TLS: 18-24 ms in which nothing else in the worker runs.
    """
    if isinstance(options, ssl.SSLContext):
        return options
    key = repr(sorted(options.items(), key=repr))
    stamps = tuple(_stamp(value) for value in options.values())
    known = _contexts.get(key)
    if known is None or known[0] != stamps:
        known = _contexts[key] = (stamps, make(options))
    return known[1]


def _stamp(value: object) -> _Stamp:
    """What changes when the file of this name does."""
    if isinstance(value, str | os.PathLike):
        with contextlib.suppress(OSError):
            found = os.stat(value)
            return found.st_mtime_ns, found.st_ino
    return None


class Handshakes:
    """What PyMySQL uses of an ``SSLContext``; under gevent it does not block the hub.

    A handshake is 1.5 ms of arithmetic (more with a chain of certificates), nearly all of it
    without Python's lock: in another thread it lets the hub go on.

    ``take_over`` is called with the TLS socket before its handshake.
    """

    def __init__(self, context: ssl.SSLContext, take_over: Callable[[ssl.SSLSocket], object]):
        self._context, self._take_over = context, take_over

    def wrap_socket(self, sock: socket.socket, server_hostname: str | None = None) -> ssl.SSLSocket:
        """As ``SSLContext.wrap_socket``."""
        secured = self._context.wrap_socket(
            sock, server_hostname=server_hostname, do_handshake_on_connect=False
        )
        # The plain socket has lost its file: after a failure this one has to be closed.
        self._take_over(secured)
        if patched("ssl"):
            _shake_hands(secured)
        else:
            secured.do_handshake()
        return secured


def _shake_hands(sock: ssl.SSLSocket) -> None:
    """Compute in a thread, and wait for the server in the hub, which has no other thread."""
    import gevent.socket

    seconds = sock.gettimeout()
    sock.settimeout(0)  # it raises where it would wait
    while True:
        try:
            in_thread(sock.do_handshake)
        except ssl.SSLWantReadError:
            gevent.socket.wait_read(sock.fileno(), seconds)
        except ssl.SSLWantWriteError:
            gevent.socket.wait_write(sock.fileno(), seconds)
        else:
            break
    sock.settimeout(seconds)


@cache
def _nobodys() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # no key is made: 0.04 ms instead of 0.3
    return context


def forget_errors() -> None:
    """Empty OpenSSL's queue of errors, which all connections of a thread share.

    Python 3.13.5 and 3.14 leave a socket's EPIPE or ECONNRESET in it, and the next read of another
    connection that has to wait fails with that error. A handshake begins with emptying it; this one
    is with nobody.
    """
    with contextlib.suppress(ssl.SSLError):
        _nobodys().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO()).do_handshake()
