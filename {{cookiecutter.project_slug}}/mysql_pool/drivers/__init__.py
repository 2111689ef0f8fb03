"""The two drivers behind one interface, `contract`. Nothing here knows Django or the pool."""

import socket
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from .contract import Driver

if TYPE_CHECKING:  # that they keep the contract; only the one that is used is imported
    from . import mysqlclient_driver, pymysql_driver

    _kept: list[Driver] = [mysqlclient_driver, pymysql_driver]

#: What ``DRIVER`` may be, and the name of the module that is then loaded as MySQLdb.
LOADED_AS = {"pymysql": "pymysql", "mysqlclient": "MySQLdb"}
NAMES = tuple(LOADED_AS)
# A server that has acknowledged nothing for so long is gone: its host died, or another took over.
# RFC 1122 (4.2.3.5) asks for 100 s at least; Linux' own limit (tcp_retries2) is some 15 minutes.
UNREACHABLE = 100  # seconds


def load(name: str) -> Driver:
    """Make ``import MySQLdb``, which Django's backend does, mean this driver; return its module.

    Raises ``RuntimeError`` when another driver already took that name, ``ValueError`` for an
    unknown name, ``ImportError`` when the driver is not installed.
    """
    if name not in NAMES:
        raise ValueError(f"DRIVER is {name!r}; it has to be one of {', '.join(NAMES)}.")
    taken = getattr(sys.modules.get("MySQLdb"), "__name__", None)
    if taken not in (None, LOADED_AS[name]):
        raise RuntimeError(
            f"DRIVER is {name!r}, but this process has {taken!r} loaded as MySQLdb already. "
            "Django's MySQL backend binds one driver per process: use the same DRIVER for every "
            "alias, and do not call pymysql.install_as_MySQLdb() yourself."
        )
    driver: Driver = import_module(f".{name}_driver", __name__)
    driver.install()
    return driver


def wait_for_end(dropped: socket.socket, seconds: float) -> bool:
    """Read and throw away until the server closes; False when it has not within ``seconds``.

    A server that cannot be reached counts as one that has closed after `UNREACHABLE` seconds.
    """
    try:
        if dropped.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            dropped.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREACHABLE * 1000)
        # Never without a timeout: the C library leaves SO_RCVTIMEO on a socket, and an EAGAIN of
        # that is not the server's end.
        dropped.settimeout(seconds)
        dropped.shutdown(socket.SHUT_WR)
        while dropped.recv(65536):
            pass
    except (TimeoutError, BlockingIOError):
        return False
    except OSError:
        pass  # reset by the server: as good as closed
    return True
