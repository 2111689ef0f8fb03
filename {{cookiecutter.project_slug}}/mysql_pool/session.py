"""One logical database session: what a DatabaseWrapper takes for its connection.

It looks like a DB-API connection and has a physical one only while it needs it: for a statement,
for a transaction, or, once its state was changed ("pinned"), until the request ends. Knows the
pool and the contract of the drivers; knows no Django.

Transactions are those of stock Django: the server's autocommit is off for their time, so what
ends one on the server (DDL, CALL, LOCK TABLES, a COMMIT in a text) has begun the next, and nothing
has to be guessed. Switching it off travels with the first statement, and switching it on again is
the COMMIT.
"""

import re
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from . import answers
from .cursor import SessionCursor
from .drivers.base import autocommit_as
from .drivers.contract import Driver, DriverCursor, PhysicalConnection
from .holder import Holder, Spec
from .pool import Pool
from .rules import ANY, INSERTED, Effect, effect_of

NOTHING = Effect()
BY_HAND = "by hand"
DRIVER_CONNECTION = "driver connection"
#: Attributes of a driver's connection that look at no session and change nothing.
HARMLESS = frozenset(
    "encoders decoders encoding converter escape literal escape_string string_literal charset "
    "character_set_name client_flag server_capabilities server_version get_server_info host_info "
    "get_host_info get_proto_info open host port user db database".split()
)
#: These tell of the statement before, which may have run on another connection.
OF_THE_STATEMENT_BEFORE = {
    "insert_id": INSERTED,
    **dict.fromkeys(
        "affected_rows show_warnings warning_count info field_count errno error sqlstate "
        "server_status".split(),
        ANY,
    ),
}


class Session:
    """The session of one wrapper, i.e. of one thread or greenlet and one alias.

    Keeps `holder.Holder`, so that a pool can lend to it.

    Args:
        per_request: keep the connection from the first statement until ``release()``.
        set_up: statements for each new physical connection.
        when_set_up: called after them, with the connection held; what it runs is set-up too.
        renew: called when the server denies access; whether to try again, with a new password.
        pin_on: the project's own rule, see ``rules.effect_of``.
        inline: this thread has to open its connections by itself.
    """

    def __init__(
        self,
        pool: Pool,
        spec: Spec,
        driver: Driver,
        *,
        per_request: bool,
        set_up: Sequence[str] = (),
        when_set_up: Callable[[], object] | None = None,
        renew: Callable[[], bool] | None = None,
        pin_on: re.Pattern[str] | None = None,
        cursor_class: type[DriverCursor] | None = None,
        inline: bool = False,
    ):
        self.pool, self.spec = pool, spec
        self.driver = driver
        self.inline = inline
        self.reference: weakref.ref[Holder] = weakref.ref(self)
        self.cursor_class: type[DriverCursor] = cursor_class or driver.Cursor
        self._per_request = per_request
        self._set_up, self._when_set_up = set_up, when_set_up
        self._renew = renew
        self._pin_on = pin_on
        self.held: PhysicalConnection | None = None
        """The connection; the pool writes it, too."""
        self.pinned: str | None = None
        self._can_be_reset = True
        self._handed_out = False
        self._by_hand = 0
        self._pinned_before = False
        self._setting_up = 0
        self._tell_of_new = True
        self._autocommit = True
        self._told_autocommit: PhysicalConnection | None = None
        """The connection that was told `_autocommit`; what the program itself tells it stays."""
        self.last_row_id = 0
        """The id that the last statement of this session without rows has made."""
        self._running = 0
        self._ran = -1
        """The most that a statement has done since the connection was taken, of ``Effect.does``."""
        self._lost: str | None = None
        """What happened to the connection in a transaction that is still open for the program."""
        self._closed = False

    # -- the physical connection -----------------------------------------------------------

    def checkout(self) -> PhysicalConnection:
        """The physical connection, checked out of the pool if the session has none.

        Raises the driver's errors, of which the pool's `PoolError` are subclasses.
        """
        connection = self.held
        if connection is None:
            if self._lost is not None:
                self._raise_lost()
            if self._closed:
                raise self.driver.InterfaceError(0, "This session was closed.")
            connection = self._checkout_of_pool()
            self._told_autocommit, self._ran = None, -1
        if connection.fresh:
            self._prepare(connection)
        return connection

    def _raise_lost(self) -> NoReturn:
        raise self.driver.OperationalError(2013, self._lost)

    def _checkout_of_pool(self) -> PhysicalConnection:
        try:
            self.pool.checkout(self, self.spec)
        except self.driver.Error as error:
            # A password expires, and this session may be older than the new one.
            if not answers.is_denial(error) or self._renew is None or not self._renew():
                raise
            self.pool.checkout(self, self.spec)
        connection = self.held
        assert connection is not None
        return connection

    def _prepare(self, connection: PhysicalConnection) -> None:
        """Session set-up: once for each physical connection, and again after a reset."""
        self._setting_up += 1
        try:
            connection.set_up(self._set_up)
            connection.fresh = False
            self.pool.heard_of(connection)
            if self._when_set_up is not None and self._setting_up == 1 and self._tell_of_new:
                self._when_set_up()
            self._tell_of_new = True
            connection.session_changed()
        except BaseException:
            self._setting_up -= 1
            self._release("set-up failed")
            raise
        self._setting_up -= 1

    def _release(self, reason: str | None = None) -> None:
        """Give the connection back as it is; with a ``reason`` the pool closes it."""
        connection = self.held
        if connection is None:
            return
        connection.forget_result()
        connection.lead = None
        connection.clean = reason is None
        self.held = None
        self.pool.release(connection, self.reference, reason)

    def statement_begins(
        self, sql: object, formatted: bool = False
    ) -> tuple[PhysicalConnection, Effect]:
        """Get ready to run ``sql``; returns the connection to run it on and its effect.

        ``formatted``: arguments will be put in place of ``%s``. ``statement_ends`` or
        ``statement_failed`` has to follow; statements may be nested (arguments that query).
        """
        if type(sql) is not str:
            sql = bytes(sql).decode("latin-1") if isinstance(sql, (bytes, bytearray)) else str(sql)
        effect = effect_of(sql, self._pin_on, formatted)
        if effect.needs_previous is not None and not self._knows(effect.needs_previous):
            self._raise_asks_back()
        connection = self.checkout()
        self._lead(connection)
        self._running += 1
        if effect.pins and not self._setting_up:
            # Before it runs: an exception of a signal handler may strike before its end is noted.
            self.pin(effect.pins, effect.can_be_reset)
        return connection, effect

    def _lead(self, connection: PhysicalConnection) -> None:
        if self._setting_up:
            connection.lead = True
        elif self._told_autocommit is not connection:
            connection.lead = self._autocommit

    def _knows(self, kind: int) -> bool:
        """Whether a statement of this kind has run on the connection since it was taken."""
        return self.held is not None and self._ran >= kind

    def _raise_asks_back(self) -> NoReturn:
        raise self.driver.OperationalError(
            "mysql_pool: this asks for the result of the statement before it (LAST_INSERT_ID(), "
            "FOUND_ROWS(), ROW_COUNT(), SHOW WARNINGS, insert_id()), which ran on a connection "
            "that went back to the pool. Put both into transaction.atomic() or "
            "mysql_pool.pinned(), or use cursor.lastrowid or cursor.rowcount."
        )

    def statement_ends(self, connection: PhysicalConnection, effect: Effect = NOTHING) -> None:
        """Keep the connection or release it, as the statement and the mode ask for."""
        self._running -= 1
        if self._autocommit and not effect.pins and self._is_free() and connection.is_at_rest():
            self._release()
            return
        owed = self._note_autocommit(connection)
        changed = connection.session_changed()
        if self._setting_up:
            return
        self._ran = max(self._ran, effect.does)
        if changed:
            self.pin("session state")
        if self._autocommit:
            if connection.in_transaction() or connection.has_more_results():
                # A transaction begun in a way the rules do not know, or a further result.
                self.pin("open transaction")
            elif owed and self.pinned is None and not connection.autocommit_is_on():
                # It could not be switched on before the statement, which waits for it.
                self._end_on_server(connection, autocommit_as(True))
            self._release_if_free()

    def _note_autocommit(self, connection: PhysicalConnection) -> bool:
        """Whether the server has still to be told; what the program told it by itself stays."""
        # A statement that was never sent leaves nothing behind.
        owed, connection.lead = connection.lead is not None, None
        if not owed and not self._setting_up:
            self._told_autocommit = connection
        return owed

    def _release_if_free(self) -> None:
        """Release the connection unless something keeps it."""
        if self._is_free():
            self._release()

    def _is_free(self) -> bool:
        return not (
            self.pinned or self._per_request or self._by_hand or self._setting_up or self._running
        )

    def statement_failed(
        self, connection: PhysicalConnection, error: BaseException, effect: Effect = NOTHING
    ) -> None:
        """After any exception in a statement, also one that came from outside (GreenletExit)."""
        self._running = max(self._running - 1, 0)
        if self.held is not connection:
            return  # taken away by the pool, or given back already
        if connection.busy and self.pinned and answers.is_out_of_sync(error):
            return  # an unbuffered cursor is being read; nothing was sent
        if answers.is_of_wrong_server(error) and self._can_be_reset:
            connection.expires_at = 0.0
            self.pool.distrust(connection.server)
        if connection.is_reusable():
            self._note_autocommit(connection)
            tracked = connection.session_changed() is not None
            if self._setting_up:
                return
            self._ran = max(self._ran, ANY)
            if not effect.pins and tracked and effect.does != ANY and answers.is_from_server(error):
                # A trigger may have run, and the flag comes with success only (MariaDB).
                self.pin("failed statement")
            if self._autocommit:
                if self.pinned is None and not connection.autocommit_is_on():
                    self._end_on_server(connection, "ROLLBACK")
                self._release_if_free()
            return
        if not self._autocommit or self.pinned or self._by_hand:
            # Going on with another connection would run the rest outside of the transaction, or
            # without the lock, that the code relies on.
            self._lost = (
                "Lost connection to MySQL server in a transaction or in a session with state "
                f"({self.pinned or 'transaction'}); nothing more can be done in it."
            )
        self._release("interrupted" if not isinstance(error, Exception) else "lost")
        self._forget_pins()

    def _forget_pins(self) -> None:
        self.pinned, self._can_be_reset, self._handed_out = None, True, False

    # -- pinning ---------------------------------------------------------------------------

    def pin(self, reason: str, can_be_reset: bool = True) -> None:
        """Keep the connection until the request ends; ``reason`` is counted."""
        if not can_be_reset:
            self._can_be_reset = False
        if self.pinned is None:
            self.pinned = reason
            self.pool.note_pin(reason)

    def pin_by_hand(self) -> None:
        """Keep the connection, once there is one, until ``unpin_by_hand()``; can be nested."""
        if not self._by_hand:
            self._pinned_before = self.pinned is not None
        self._by_hand += 1

    def unpin_by_hand(self) -> None:
        """Undo one ``pin_by_hand()``; the last one releases the connection, which is reset."""
        self._by_hand -= 1
        if self._by_hand:
            return
        if self.held is not None:
            self.pin(BY_HAND)
            if self._autocommit and not self._pinned_before:
                self.release()
        elif self._autocommit:
            self._lost = None

    def release(self) -> None:
        """The end of the request: give the connection back as clean as it was.

        An open transaction is rolled back. A changed session is reset at the server, or the
        connection is closed where that cannot be done. Between ``pin_by_hand()`` and
        ``unpin_by_hand()`` this does nothing.
        """
        if self._by_hand:
            return
        self._lost = None
        self._running = self.last_row_id = 0
        connection = self.held
        if connection is None:
            self._forget_pins()
            return
        reason = None
        try:
            if connection.session_changed():
                self.pin("session state")
            if not connection.is_reusable():
                reason = "broken"
            elif self.pinned:
                # A reset rolls back too.
                if not (self._can_be_reset and connection.reset()):
                    reason = "changed session"
                    if connection.in_transaction() is not False:
                        # Here it is waited for; after the close the server would do it by itself.
                        with suppress(self.driver.Error):  # XA: the close undoes it
                            connection.run("ROLLBACK")
            elif not connection.autocommit_is_on():
                self._end_on_server(connection, "ROLLBACK")
        except self.driver.Error:
            reason = "lost"
        except BaseException:
            self._release("interrupted")
            self._forget_pins()
            raise
        # In this order: with its pins forgotten, a changed session would be taken for a clean one.
        self._release(reason)
        self._forget_pins()

    # -- the DB-API connection that Django sees --------------------------------------------

    def cursor(self, cursorclass: type[DriverCursor] | None = None) -> SessionCursor:
        """A cursor that takes the connection for each of its statements."""
        return SessionCursor(self, cursorclass)

    def autocommit(self, enabled: bool) -> None:
        """Whether each statement from now on is a transaction of its own.

        True commits what is open, and raises when that fails; then nothing has changed. Otherwise
        the server learns it with the next statement.
        """
        if enabled and self._lost is not None:
            self._raise_lost()
        connection = self.held
        if (
            enabled
            and connection is not None
            and not connection.autocommit_is_on()
            and connection.in_transaction() is not False
        ):
            self._end_transaction(autocommit_as(True))
        self._autocommit = bool(enabled)
        self._told_autocommit = None
        if self._handed_out and self.held is not None:
            # The program may send its next statement past this session.
            self.held.run(autocommit_as(self._autocommit))
            self._told_autocommit = self.held
        if self._autocommit:
            self._release_if_free()

    def get_autocommit(self) -> bool:
        """What the server has, or will have for the next statement."""
        if self.held is None or self._told_autocommit is not self.held:
            return self._autocommit
        return self.held.autocommit_is_on()

    def commit(self) -> None:
        """COMMIT, if anything was sent since the transaction began."""
        self._end_transaction("COMMIT")

    def rollback(self) -> None:
        """ROLLBACK; after a lost connection the server has done that already."""
        if self._lost is not None:
            self._lost = None
            return
        self._end_transaction("ROLLBACK")

    def _end_transaction(self, sql: str) -> None:
        if self._lost is not None:
            self._raise_lost()
        connection = self.held
        if connection is None:
            return
        self._running += 1
        try:
            self._end_on_server(connection, sql)
        except BaseException as error:
            self.statement_failed(connection, error)
            self._lost = None  # the transaction is over, and the caller knows how
            raise
        self._running -= 1
        self._release_if_free()

    def _end_on_server(self, connection: PhysicalConnection, sql: str) -> None:
        """``sql`` is COMMIT, ROLLBACK, or what switches autocommit on."""
        on = connection.autocommit_is_on()
        if self.pinned:
            connection.run(sql)  # as stock Django: the program may have changed what it means
        elif connection.in_transaction() is False and (on or sql == "ROLLBACK"):
            pass  # nothing was begun
        elif on or sql == "ROLLBACK":
            # After ROLLBACK, "on" waits for the next statement: sent at once, it would commit all,
            # should the ROLLBACK fail (KILL QUERY does that on MariaDB).
            connection.run(sql)
        else:
            connection.run(autocommit_as(True))  # commits, and is the way back as well
        connection.session_changed()
        if connection.autocommit_is_on() != self._autocommit:
            self._told_autocommit = None

    def ping(self, reconnect: bool = False) -> None:
        """Ask the server; raises the driver's error when it does not answer."""
        connection = self.checkout()
        self._running += 1
        try:
            connection.check_alive()
        except BaseException as error:
            self.statement_failed(connection, error)
            raise
        self.statement_ends(connection)

    def release_between_transactions(self) -> None:
        """Release the connection unless a transaction is open or something else keeps it."""
        if self._autocommit:
            self._release_if_free()

    def close(self) -> None:
        """Release for the last time; any use afterwards raises ``InterfaceError``."""
        self._closed = True
        self._by_hand = 0
        self.release()

    def __getattr__(self, name: str) -> Any:
        # Other attributes are those of the driver's connection (thread_id(), escape(), …). A caller
        # that has one of them has the connection, so it stays with this session.
        if name.startswith("__"):
            raise AttributeError(name)
        kind = OF_THE_STATEMENT_BEFORE.get(name)
        if kind is not None and not self._knows(kind):
            self._raise_asks_back()
        connection = self.checkout()
        try:
            value = getattr(connection, name)
        except AttributeError:
            self.release_between_transactions()
            raise
        if name in HARMLESS:
            self.release_between_transactions()
        elif kind is None:
            self._lead(connection)  # it may well be a query
            # The program may change the session through it, which no rule sees.
            self._handed_out = True
            self.pin(DRIVER_CONNECTION, can_be_reset=False)
        return value

    def begin_set_up(self) -> None:
        """Statements from here on belong to the set-up of the connection, and pin nothing."""
        self._setting_up += 1

    def end_set_up(self) -> None:
        """Undo ``begin_set_up()``."""
        self._setting_up -= 1
        # The receivers were told once meanwhile. If that has checked out no connection, it counts
        # for the first one that will be.
        self._tell_of_new = self.held is not None
        self.release_between_transactions()

    def forget_after_fork(self) -> None:
        """In the child of a fork: the connection is the parent's."""
        if self.held is not None and (not self._autocommit or self.pinned):
            self._lost = "This process was forked in a transaction; the connection is the parent's."
        self.held = None
        self._forget_pins()
