"""The two drivers behind one small interface; nothing here knows Django or the pool.

A driver module has ``install()``, ``Connection`` (the driver's own class with
``PhysicalConnection`` mixed in) and ``connect(parameters) -> Connection``.
"""

import socket
import sys
from importlib import import_module

from ..concurrency import poll

NAMES = ("pymysql", "mysqlclient")
NO_SUCH_SAVEPOINT = 1305
# A server that has acknowledged nothing for so long is gone: its host died, or another took over.
# RFC 1122 (4.2.3.5) asks for 100 s at least; Linux' own limit (tcp_retries2) is some 15 minutes.
UNREACHABLE = 100  # seconds


def load(name: str):
    """Make ``import MySQLdb`` (which Django's backend does) mean driver ``name``; return its room.

    Raises ``RuntimeError`` when another driver already took that name, ``ValueError`` for an
    unknown name, ``ImportError`` when the driver is not installed.
    """
    if name not in NAMES:
        raise ValueError(f"DRIVER is {name!r}; it has to be one of {', '.join(NAMES)}.")
    taken = getattr(sys.modules.get("MySQLdb"), "__name__", None)
    if taken not in (None, {"pymysql": "pymysql", "mysqlclient": "MySQLdb"}[name]):
        raise RuntimeError(
            f"DRIVER is {name!r}, but this process has {taken!r} loaded as MySQLdb already. "
            "Django's MySQL backend binds one driver per process: use the same DRIVER for every "
            "alias, and do not call pymysql.install_as_MySQLdb() yourself."
        )
    driver = import_module(f".{name}_driver", __name__)
    driver.install()
    return driver


class PhysicalConnection:
    """What the pool wants to know of a driver's connection; mixed into the driver's class.

    ``busy`` is true from the first byte of a statement to the last byte of its answer. A
    connection that is busy without anybody reading from it must never reach another user.
    """

    busy = False
    expires_at = idle_since = 0.0  # seconds on the pool's clock
    fresh = True  # the session set-up still has to be sent
    _look = None

    def is_quiet(self) -> bool:
        """Whether an idle connection can be used: nothing to read. Costs one system call.

        A server that closes a connection (restart, KILL, wait_timeout) makes its socket
        readable: end of file, or an error packet that nobody asked for.
        """
        if self._look is None:
            poller = poll()
            poller.register(self.fileno(), 1)  # POLLIN; POLLHUP and POLLERR come unasked
            self._look = poller.poll
        return not self._look(0)

    def check_idle(self) -> None:
        """Refuse to send anything while an answer is outstanding: it would be read as ours."""
        if self.busy:
            raise RuntimeError("mysql_pool: a statement on a connection with an answer outstanding")

    def is_transaction_open(self) -> bool:
        """Ask the server, in two round trips; for when an error has left it open.

        No driver knows by itself: an error's packet has no status flags. A savepoint is a thing of
        a transaction only; outside of one MySQL and MariaDB accept it and keep nothing.
        """
        self.run("SAVEPOINT mysql_pool")
        try:
            self.run("RELEASE SAVEPOINT mysql_pool")
        except Exception as error:
            if error.args[:1] != (NO_SUCH_SAVEPOINT,):
                raise
            return False
        return True

    def hang_up(self) -> socket.socket | None:
        """Close from this side; return the raw socket on which the server's end will show.

        None when there is nothing to wait for. A server ends a statement only when it is done
        with it, whoever closed; until then the connection counts against max_connections.
        """
        raise NotImplementedError


def wait_for_end(dropped: socket.socket, seconds: float | None) -> bool:
    """Read and throw away until the server closes; False when it has not within ``seconds``.

    A server that cannot be reached counts as one that has closed after `UNREACHABLE` seconds.
    """
    try:
        if dropped.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            dropped.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREACHABLE * 1000)
        dropped.settimeout(seconds)
        dropped.shutdown(socket.SHUT_WR)
        while dropped.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass  # reset by the server: as good as closed
    return True
