"""A strictly bounded connection pool as a Django database backend for MySQL and MariaDB.

Under gevent, threads and in single-threaded programs alike. Copy this folder beside your
``manage.py``, set ``ENGINE = "mysql_pool"`` and read ``base.py`` for the options. Needs Django,
and PyMySQL or mysqlclient; under gevent ``wsgi.py`` has to patch before anything else is imported.

The way of a statement: ``base`` (Django's wrapper) -> ``session`` (when is a connection needed?)
-> ``pool`` (which one?) -> ``drivers`` (PyMySQL, mysqlclient) -> server. ``answers`` knows what an
answer of the server means, ``rules`` what the text of a statement tells, ``drivers.contract`` what
a driver has to offer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from .ledger.reading import Host
from .ledger.record import Record
from .registry import close_pool, read_host, stats

__all__ = [
    "Host",
    "Record",
    "close_connection",
    "close_pool",
    "pinned",
    "read_host",
    "stats",
]


@contextmanager
def pinned(using: str = "default") -> Iterator[None]:
    """Keep one connection for all statements in the block.

    For state that neither the rules nor the server show. Afterwards the connection is reset and
    goes back to the pool, unless something before the block has
    pinned it already. Nested blocks count. ``using`` is a database alias.
    """
    from django.db import connections

    wrapper = connections[using]
    wrapper.get_autocommit()  # there is a session from here on
    session = wrapper.connection
    session.pin_by_hand()
    try:
        yield
    finally:
        session.unpin_by_hand()


P = ParamSpec("P")
T = TypeVar("T")


def close_connection(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that runs in a greenlet or thread of your own: it gives its connections
    back at its end.

    It does what the decorator of this name in django-db-geventpool does, for projects without that
    package: it sends ``request_finished``, on which Django closes what is left over.
    """
    from django.core.signals import request_finished

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        finally:
            request_finished.send(sender="greenlet")

    return wrapper
