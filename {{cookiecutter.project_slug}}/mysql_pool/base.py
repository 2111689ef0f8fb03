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
``LEDGER``              absolute path of the file in which all processes of this     none
                        host count their connections together
``HOST_CONNS``          at most so many connections of this host; LEDGER needs it    none
``GUARANTEED``          so many of them this process may always open                 1
``STATIC_CONNS``        so many it may open while the LEDGER cannot be used          GUARANTEED
``ROLE``                what this process is, for who reads the LEDGER: a word       ""
``PIN_ON``              regular expression: statements that change the session in
                        a way that the built-in rules do not know                    none
======================  ===========================================================  ===========

``CONN_MAX_AGE`` is the longest life of a connection. 0, Django's default, means "the backend
decides": `DEFAULT_MAX_AGE`. None is no limit. To close each connection after its request, set
``REUSE_CONNS`` to 0. ``CONN_HEALTH_CHECKS`` costs a ping for each request and is not needed: a
connection is looked at when it leaves the pool.

The aliases of a process share one driver. One alias has one bound, also when its settings change
later (another NAME, another password). A connection is lent only to sessions with the settings that
it was opened with, the password aside.
"""

import os
import re
import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.utils.functional import cached_property

from . import answers, drivers
from .concurrency import in_foreign_thread
from .drivers.dates import quick_dates
from .errors import PoolError
from .holder import Parameters, Spec
from .ledger.record import NAME
from .ledger.share import Terms
from .limits import Limits
from .pool import Pool
from .registry import pool_for
from .scanner import split
from .session import Session

if TYPE_CHECKING:
    from .geventpool import GeventPool

DEFAULT_MAX_AGE = 600  # seconds
PASSWORD = ("password", "passwd")  # the driver's names of what may change from day to day


def _chosen_driver() -> str:
    """The DRIVER of this process: the one that all aliases of this backend name.

    An ENGINE of a project's own that subclasses this one is not known as such yet, but no other
    backend has an option DRIVER. See ``DatabaseWrapper.get_new_connection`` for the rest.
    """
    options = [alias.get("OPTIONS", {}) for alias in settings.DATABASES.values()]
    ours = [alias.get("ENGINE") == __package__ for alias in settings.DATABASES.values()]
    names: set[str] = {
        alias.get("DRIVER", "pymysql")
        for alias, is_ours in zip(options, ours, strict=True)
        if is_ours or "DRIVER" in alias
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

# These need the driver's name first.
from django.db.backends.mysql import base as mysql  # noqa: E402
from MySQLdb.converters import conversions  # noqa: E402


def _positive(name: str, value: Any, kind: type[Any], *, zero: bool = False) -> Any:
    """The value of an option, if it is a number of this kind (``int`` or ``float``)."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, kind))
        or value < 0
        or (not value and not zero)
    ):
        what = "a whole number" if kind is int else "a number"
        raise ImproperlyConfigured(
            f"mysql_pool: OPTIONS[{name!r}] is {value!r}; it has to be {what} "
            f"{'of at least 0' if zero else 'above 0'}."
        )
    return value


def _ledger(path: Any) -> str:
    """The path of the ledger; "" if there is none."""
    text = os.fspath(path) if path else ""
    if text and not (isinstance(text, str) and os.path.isabs(text)):
        raise ImproperlyConfigured(
            f"mysql_pool: OPTIONS['LEDGER'] is {path!r}; it has to be an absolute path."
        )
    return text


def _role(role: Any) -> str:
    if not isinstance(role, str) or len(role.encode()) > NAME:
        raise ImproperlyConfigured(
            f"mysql_pool: OPTIONS['ROLE'] is {role!r}; it has to be a word of at most {NAME} bytes."
        )
    return role


@cache
def _pin_rule(text: str | None) -> re.Pattern[str] | None:
    return re.compile(text, re.IGNORECASE | re.DOTALL) if text else None


class Read(NamedTuple):
    """What the settings of an alias come to; they are read once, not by each greenlet's wrapper."""

    settings: dict[str, Any]
    parameters: Parameters
    isolation_level: str | None
    options: dict[str, Any]
    limits: Limits


_read: dict[str, Read] = {}


class DatabaseWrapper(mysql.DatabaseWrapper):
    """Django's MySQL wrapper with a session that borrows its connection from a pool."""

    _session_is_enough = False

    def get_connection_params(self) -> Parameters:
        """The driver's parameters, without the pool's own options (see ``pool_options``)."""
        read = self._read_settings()
        self.isolation_level = read.isolation_level
        return read.parameters.copy()

    def _read_settings(self) -> Read:
        read = _read.get(self.alias)
        if read is None or read.settings != self.settings_dict:
            parameters = super().get_connection_params()
            parameters["conv"] = quick_dates(parameters["conv"], conversions)
            options = self.pool_options(parameters)
            for name in options:
                parameters.pop(name, None)
            self._check_parameters(parameters)
            # A copy of what people change in place.
            settings = {**self.settings_dict, "OPTIONS": self.settings_dict["OPTIONS"].copy()}
            read = Read(settings, parameters, self.isolation_level, options, self._limits(options))
            _read[self.alias] = read
        return read

    @staticmethod
    def _check_parameters(parameters: Parameters) -> None:
        """Drop what says nothing. Raises ``ImproperlyConfigured`` for what Django cannot bear."""
        if not parameters.pop("autocommit", True):
            raise ImproperlyConfigured(
                "mysql_pool: OPTIONS['autocommit'] is off; every INSERT outside of atomic() would "
                "be rolled back. Django has a setting of its own: AUTOCOMMIT beside OPTIONS."
            )
        parameters.pop("reconnect", None)  # the pool replaces what is lost, between transactions
        if parameters.pop("pool", False):  # False is what django-db-geventpool asks for
            raise ImproperlyConfigured(
                "mysql_pool: OPTIONS['pool'] is a key of Django's pool for PostgreSQL. This "
                "backend always has a pool: leave it out, and see MAX_CONNS."
            )
        if parameters.pop("defer_connect", False):
            raise ImproperlyConfigured(
                "mysql_pool: OPTIONS['defer_connect'] is on; connections are opened when needed "
                "anyway. Leave it out."
            )

    @staticmethod
    def pool_options(options: dict[str, Any]) -> dict[str, Any]:
        """The pool's options with their defaults, checked. Raises ``ImproperlyConfigured``."""
        max_conns = _positive("MAX_CONNS", options.get("MAX_CONNS", 10), int)
        release = options.get("RELEASE", "transaction")
        guaranteed = _positive("GUARANTEED", options.get("GUARANTEED", 1), int)
        if options.get("LEDGER") and "HOST_CONNS" not in options:
            raise ImproperlyConfigured(
                "mysql_pool: OPTIONS['LEDGER'] is set and 'HOST_CONNS' is not: it says how many "
                "connections all processes of this host may open together."
            )
        if release not in ("transaction", "request"):
            raise ImproperlyConfigured(
                f"mysql_pool: OPTIONS['RELEASE'] is {release!r}; "
                "it has to be 'transaction' or 'request'."
            )
        get = options.get
        return {
            "MAX_CONNS": max_conns,
            "REUSE_CONNS": _positive("REUSE_CONNS", get("REUSE_CONNS", max_conns), int, zero=True),
            "POOL_TIMEOUT": _positive("POOL_TIMEOUT", get("POOL_TIMEOUT", 5), float),
            "MAX_WAITING": _positive("MAX_WAITING", get("MAX_WAITING", 1000), int, zero=True),
            "MAX_IDLE": _positive("MAX_IDLE", get("MAX_IDLE", 60), float),
            "RELEASE": release,
            "LEDGER": _ledger(get("LEDGER")),
            "HOST_CONNS": _positive("HOST_CONNS", get("HOST_CONNS", max_conns), int),
            "GUARANTEED": guaranteed,
            "STATIC_CONNS": _positive("STATIC_CONNS", get("STATIC_CONNS", guaranteed), int),
            "ROLE": _role(get("ROLE", "")),
            "PIN_ON": get("PIN_ON"),
            "DRIVER": get("DRIVER", "pymysql"),
        }

    def get_new_connection(self, conn_params: Parameters) -> Session:
        """A session on the pool of this alias. Opens nothing yet."""
        me = weakref.proxy(self)  # a cycle would wait for a garbage collection
        session = self._new_session(conn_params, when_set_up=lambda: me._when_set_up())
        session.begin_set_up()  # `connect` ends it
        return session

    def _new_session(
        self,
        conn_params: Parameters,
        *,
        per_request: bool = False,
        when_set_up: Callable[[], object] | None = None,
    ) -> Session:
        read = self._read_settings()
        options = read.options
        if options["DRIVER"] != driver.NAME:
            raise ImproperlyConfigured(
                f"mysql_pool: DRIVER of the alias {self.alias!r} is {options['DRIVER']!r}, but "
                f"this process uses {driver.NAME!r} already: use one DRIVER for all aliases."
            )
        set_up = self._session_set_up(conn_params)
        pool = pool_for(self.alias, self._make_pool)
        if pool.inventory.limits is not read.limits:
            pool.configure(read.limits)
        key = {k: v for k, v in conn_params.items() if k not in PASSWORD}
        spec = pool.specs.find({**key, "set_up": set_up}, partial(Spec, driver.connect))
        spec.parameters = conn_params
        me = weakref.proxy(self)
        return Session(
            pool,
            spec,
            driver,
            # Django's meaning of "none is kept": a connection for each request.
            per_request=per_request
            or options["RELEASE"] == "request"
            or not options["REUSE_CONNS"],
            set_up=set_up,
            when_set_up=when_set_up,
            renew=lambda: me._renew_password(spec),
            pin_on=_pin_rule(options["PIN_ON"]),
            cursor_class=conn_params.get("cursorclass"),
            inline=in_foreign_thread(),
        )

    @property
    def pool(self) -> "GeventPool":
        """The pool of this alias as a ``DatabaseConnectionPool`` of django-db-geventpool.

        Raises ``AttributeError`` where that package is not installed.
        """
        try:
            from .geventpool import GeventPool
        except ImportError as error:
            raise AttributeError(f"needs django-db-geventpool: {error}", name="pool") from error
        self._ensure_session()
        pool: Pool = self.connection.pool
        return GeventPool(
            pool, lambda: self._new_session(self.get_connection_params(), per_request=True)
        )

    def _renew_password(self, spec: Spec) -> bool:
        """Whether the password has changed since; the next connection is opened with it."""
        now = self.get_connection_params()
        names = [name for name in PASSWORD if name in now or name in spec.parameters]
        changed = {name: now.get(name) for name in names}
        if all(spec.parameters.get(name) == password for name, password in changed.items()):
            return False
        spec.parameters = {**spec.parameters, **changed}
        return True

    def _limits(self, options: dict[str, Any]) -> Limits:
        max_age = self.settings_dict["CONN_MAX_AGE"]
        host = None
        if options["LEDGER"]:
            host = Terms(
                path=options["LEDGER"],
                host_conns=options["HOST_CONNS"],
                guaranteed=options["GUARANTEED"],
                static_conns=options["STATIC_CONNS"],
                role=options["ROLE"],
            )
        return Limits(
            host=host,
            max_conns=options["MAX_CONNS"],
            reuse_conns=options["REUSE_CONNS"],
            timeout=options["POOL_TIMEOUT"],
            max_waiting=options["MAX_WAITING"],
            max_idle=options["MAX_IDLE"],
            max_age=DEFAULT_MAX_AGE if max_age == 0 else max_age,
        )

    def _make_pool(self) -> Pool:
        return Pool(
            name=self.alias,
            kill=lambda connection, number: connection.run(f"KILL {number:d}"),
            is_refusal=answers.is_refusal,
            operational_error=driver.OperationalError,
            limits=self._read_settings().limits,
        )

    def _when_set_up(self) -> None:
        """``connection_created`` is for every physical connection: its receivers SET something."""
        if connection_created.has_listeners(type(self)):
            connection_created.send(sender=type(self), connection=self)

    def _session_set_up(self, conn_params: Parameters) -> list[str]:
        """The statements that make a new session ours: once for each physical connection.

        Those that the drivers would run when they connect (after a reset they have to run again),
        and then Django's own, which ``init_connection_state`` sends for each connect. Takes the
        former out of ``conn_params``.
        """
        statements = split(conn_params.pop("init_command", None) or "")
        if sql_mode := conn_params.pop("sql_mode", None):
            # PyMySQL sends it before init_command, mysqlclient after it.
            place = 0 if driver.NAME == "pymysql" else len(statements)
            text = sql_mode.replace("'", "''")
            statements.insert(place, f"SET SESSION sql_mode = '{text}'")
        statements.append("SET SESSION sql_auto_is_null = 0")
        if self.isolation_level:
            level = self.isolation_level.upper()
            statements.append(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
        return statements

    def init_connection_state(self) -> None:
        """Only Django's check of the server's version, once for each alias and process."""
        BaseDatabaseWrapper.init_connection_state(self)

    @cached_property
    def mysql_server_data(self) -> dict[str, Any]:
        """Version and settings of the server: asked for once for each `Spec`, not per wrapper."""
        self._ensure_session()
        spec: Spec = self.connection.spec
        if spec.server_data is None:
            stock = vars(mysql.DatabaseWrapper)["mysql_server_data"]  # a cached_property
            spec.server_data = stock.func(self)
        return spec.server_data

    # -- when a connection is really needed ------------------------------------------------

    def connect(self) -> None:
        """As Django documents it: raises if the server cannot be reached. Holds nothing after."""
        try:
            super().connect()
            if not self._session_is_enough:
                self.connection.checkout()
            self.connection.end_set_up()
        except BaseException:
            # No session is kept without a server: the next try may be with other settings.
            session, self.connection = self.connection, None
            if session is not None:
                session.close()
            raise

    def _cursor(self, name: str | None = None) -> Any:
        # A statement follows, and takes a connection by itself.
        before, self._session_is_enough = self._session_is_enough, True
        try:
            return super()._cursor(name)  # type: ignore[misc]  # private: the stubs leave it out
        finally:
            self._session_is_enough = before

    def _ensure_session(self) -> None:
        """A session, but no connection for it yet."""
        if self.connection is None:
            before, self._session_is_enough = self._session_is_enough, True
            try:
                self.ensure_connection()
            finally:
                self._session_is_enough = before

    def get_autocommit(self) -> bool:
        """Whether each statement is a transaction of its own; needs no connection to know."""
        self._ensure_session()
        return self.autocommit

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        """``atomic()`` comes here; it takes its connection when it has a statement to send."""
        self._ensure_session()
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)

    def create_cursor(self, name: str | None = None) -> mysql.CursorWrapper:
        """Django's cursor wrapper around one that borrows a connection for each statement."""
        return mysql.CursorWrapper(self.connection.cursor())

    def is_usable(self) -> bool:
        """Asks the server, for `CONN_HEALTH_CHECKS`. A full pool is an error of its own: a new
        connection, which Django would want, has to be waited for in the same queue."""
        with self.wrap_database_errors:
            try:
                self.connection.ping()
            except driver.Error as error:
                if isinstance(error, PoolError):
                    raise
                return False
        return True

    def _commit(self) -> None:
        try:
            super()._commit()  # type: ignore[misc]  # private: the stubs leave it out
        except Exception:
            raise  # Django rolls back, and forgets what was to be done after the commit
        except BaseException:
            # Timed out or killed in COMMIT: it is not known whether it was done. The functions that
            # wait for it must not run after the next COMMIT.
            self.run_on_commit = []
            raise

    def close_if_unusable_or_obsolete(self) -> None:
        """The end (and start) of a request: the session releases its connection, if it has one.

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


def _forget_after_fork() -> None:
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        if isinstance(connection.connection, Session):
            connection.connection.forget_after_fork()


os.register_at_fork(after_in_child=_forget_after_fork)
