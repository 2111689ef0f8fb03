"""The Django database backend: ``ENGINE = "mysql_pool"``.

A ``DatabaseWrapper`` of Django's own MySQL backend whose ``connection`` is a ``Session``: Django
goes on believing that it has one connection for each thread, and the pool decides when there is
really one.

OPTIONS (beside the driver's own keys; connections and seconds):

======================  ===========================================================  ===========
``MAX_CONNS``           at most so many connections of this process                  10
``REUSE_CONNS``         so many of them are kept when idle                           MAX_CONNS
``POOL_TIMEOUT``        how long to wait for one                                     5
``MAX_WAITING``         how many may wait at the same time                           1000
``MAX_IDLE``            idle connections are closed after this                       60
``RELEASE``             "transaction": held for one statement or transaction         "transaction"
                        "request": held until the request ends
``DRIVER``              "pymysql" or "mysqlclient"                                   "pymysql"
``PIN_ON``              regular expression: statements that change the session in
                        a way that the built-in rules do not know                    none
======================  ===========================================================  ===========

``CONN_MAX_AGE`` is the longest life of a connection. 0, Django's default, does not mean "none" here
but "not set": 600 s. ``None`` is no limit. ``CONN_HEALTH_CHECKS`` costs a ping for each request
and is not needed: a connection is looked at whenever it leaves the pool.
"""

import os
import re
from functools import cache, partial
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.functional import cached_property

from . import drivers
from .drivers.dates import quick_dates
from .registry import Pool, pool_for
from .session import Session

DEFAULT_MAX_AGE = 600


def _chosen_driver() -> str:
    """The DRIVER of this process: the one that all aliases of this backend name."""
    names = {
        alias.get("OPTIONS", {}).get("DRIVER", "pymysql")
        for alias in settings.DATABASES.values()
        if alias.get("ENGINE") == __package__
    } or {"pymysql"}
    if len(names) > 1:
        raise ImproperlyConfigured(
            f"mysql_pool: DRIVER differs between aliases ({', '.join(sorted(map(repr, names)))}). "
            "Django's MySQL backend binds one driver per process: choose one for all."
        )
    return names.pop()


try:
    driver = drivers.load(_chosen_driver())
except (ValueError, RuntimeError, ImportError) as error:
    raise ImproperlyConfigured(f"mysql_pool: {error}") from error

from django.db.backends.mysql import base as mysql  # noqa: E402 - needs the driver's name first


def _positive(name, value, *, kind=(int, float), zero=False):
    if (
        isinstance(value, bool)
        or not isinstance(value, kind)
        or value < 0
        or (not value and not zero)
    ):
        what = "a whole number" if kind is int else "a number"
        raise ImproperlyConfigured(
            f"mysql_pool: OPTIONS[{name!r}] is {value!r}; it has to be {what} "
            f"{'of at least 0' if zero else 'above 0'}."
        )
    return value


@cache
def _pin_rule(text: str | None):
    return re.compile(text, re.IGNORECASE | re.DOTALL) if text else None


class Read(NamedTuple):
    """What the settings of an alias come to; they are read once, not by each greenlet's wrapper."""

    settings: dict
    parameters: dict
    isolation_level: str | None
    options: dict


_read: dict[str, Read] = {}


class DatabaseWrapper(mysql.DatabaseWrapper):
    """Django's MySQL wrapper with a session that borrows its connection from a pool."""

    _pool: Pool | None = None
    _session_is_enough = False

    def get_connection_params(self):
        """The driver's parameters, without the pool's own options (see ``pool_options``)."""
        read = self._read_settings()
        self.isolation_level = read.isolation_level
        return read.parameters.copy()

    def _read_settings(self) -> Read:
        read = _read.get(self.alias)
        if read is None or read.settings != self.settings_dict:
            parameters = super().get_connection_params()
            parameters["conv"] = quick_dates(parameters["conv"], mysql.conversions)
            options = self.pool_options(parameters)
            for name in options:
                parameters.pop(name, None)
            # A copy of what people change in place.
            settings = {**self.settings_dict, "OPTIONS": self.settings_dict["OPTIONS"].copy()}
            read = Read(settings, parameters, self.isolation_level, options)
            _read[self.alias] = read
        return read

    @staticmethod
    def pool_options(options: dict) -> dict:
        """The pool's options with their defaults, checked. Raises ``ImproperlyConfigured``."""
        max_conns = _positive("MAX_CONNS", options.get("MAX_CONNS", 10), kind=int)
        release = options.get("RELEASE", "transaction")
        if release not in ("transaction", "request"):
            raise ImproperlyConfigured(
                f"mysql_pool: OPTIONS['RELEASE'] is {release!r}; "
                "it has to be 'transaction' or 'request'."
            )
        get = options.get
        return {
            "MAX_CONNS": max_conns,
            "REUSE_CONNS": _positive(
                "REUSE_CONNS", get("REUSE_CONNS", max_conns), kind=int, zero=True
            ),
            "POOL_TIMEOUT": _positive("POOL_TIMEOUT", get("POOL_TIMEOUT", 5)),
            "MAX_WAITING": _positive("MAX_WAITING", get("MAX_WAITING", 1000), kind=int, zero=True),
            "MAX_IDLE": _positive("MAX_IDLE", get("MAX_IDLE", 60)),
            "RELEASE": release,
            "PIN_ON": get("PIN_ON"),
            "DRIVER": get("DRIVER", "pymysql"),
        }

    def get_new_connection(self, conn_params):
        """A session on the pool of these parameters. Opens nothing yet."""
        options = self._read_settings().options
        max_age = self.settings_dict["CONN_MAX_AGE"]
        if max_age == 0:
            max_age = DEFAULT_MAX_AGE
        set_up = self._session_set_up(conn_params)
        key = {**conn_params, **options, "CONN_MAX_AGE": max_age, "set_up": set_up}
        self._pool = pool_for(
            self.alias, key, partial(self._make_pool, conn_params, options, max_age)
        )
        return Session(
            self._pool,
            driver,
            per_request=options["RELEASE"] == "request",
            set_up=set_up,
            pin_on=_pin_rule(options["PIN_ON"]),
            cursor_class=conn_params.get("cursorclass"),
        )

    def _make_pool(self, conn_params, options, max_age):
        return Pool(
            name=self.alias,
            connect=partial(driver.connect, conn_params),
            kill=lambda connection, thread_id: connection.run(f"KILL {thread_id:d}"),
            max_conns=options["MAX_CONNS"],
            reuse_conns=options["REUSE_CONNS"],
            timeout=options["POOL_TIMEOUT"],
            max_waiting=options["MAX_WAITING"],
            max_idle=options["MAX_IDLE"],
            max_age=max_age,
            operational_error=driver.OperationalError,
        )

    def _session_set_up(self, conn_params):
        """The statements that make a new session ours: once for each physical connection.

        Django's own (``init_connection_state`` sends them for each connect), and those that the
        drivers would run when they connect: after a reset they have to run again. Takes the
        latter out of ``conn_params``.
        """
        statements = ["SET SESSION sql_auto_is_null = 0"]
        if self.isolation_level:
            level = self.isolation_level.upper()
            statements.append(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
        if sql_mode := conn_params.pop("sql_mode", None):
            statements.append("SET SESSION sql_mode = '{}'".format(sql_mode.replace("'", "''")))
        if init_command := conn_params.pop("init_command", None):
            statements.append(init_command)
        return statements

    def init_connection_state(self):
        """Only Django's check of the server's version, once for each alias and process."""
        BaseDatabaseWrapper.init_connection_state(self)

    @cached_property
    def mysql_server_data(self):
        """Version and settings of the server: asked for once for each pool, not per wrapper."""
        self._ensure_session()
        if self._pool.server_data is None:
            self._pool.server_data = mysql.DatabaseWrapper.mysql_server_data.func(self)
        return self._pool.server_data

    # -- when a connection is really needed ------------------------------------------------

    def connect(self):
        """As Django documents it: raises if the server cannot be reached.

        The connection stays with the session for the statement that follows.
        """
        try:
            super().connect()
            if not self._session_is_enough:
                self.connection.take()
        except BaseException:
            # No session is kept without a server: the next try may be with other settings.
            session, self.connection = self.connection, None
            if session is not None:
                session.close()
            raise

    def _ensure_session(self):
        """A session, but no connection for it yet."""
        if self.connection is None:
            self._session_is_enough = True
            try:
                self.ensure_connection()
            finally:
                self._session_is_enough = False

    def get_autocommit(self):
        """Whether each statement is a transaction of its own; needs no connection to know."""
        self._ensure_session()
        return self.autocommit

    def set_autocommit(self, autocommit, force_begin_transaction_with_broken_autocommit=False):
        """``atomic()`` comes here; it takes its connection when it has a statement to send."""
        self._ensure_session()
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)

    def create_cursor(self, name=None):
        """Django's cursor wrapper around one that borrows a connection for each statement."""
        return mysql.CursorWrapper(self.connection.cursor())

    def close_if_unusable_or_obsolete(self):
        """The end (and start) of a request: whatever the session still holds goes back.

        Age and health are the pool's business and are looked at there.
        """
        if self.connection is None:
            return
        # Django's rule: it looks at the connection here after an error, else when it is used next.
        self.health_check_done = self.errors_occurred
        if self.in_atomic_block or self.autocommit != self.settings_dict["AUTOCOMMIT"]:
            self.close()
        else:
            self.errors_occurred = False
            with self.wrap_database_errors:
                self.connection.release()


def _forget_after_fork():
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        if isinstance(connection.connection, Session):
            connection.connection.forget_after_fork()


os.register_at_fork(after_in_child=_forget_after_fork)
