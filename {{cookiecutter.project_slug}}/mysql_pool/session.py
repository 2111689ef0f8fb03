"""One logical database session: what a DatabaseWrapper takes for its connection.

It looks like a DB-API connection and has a physical one only while it needs it: for a statement,
for a transaction, or, once its state was changed ("pinned"), until the request ends. Knows the
pool and the rules of pinning; knows no Django.
"""

from .pinning import NOTHING, effect_of

DEADLOCK = 1213
# After these the server has rolled back the statement or the whole transaction, and does not say
# which. 1205, lock wait timeout: the whole if innodb_rollback_on_timeout=ON, but not for a metadata
# lock. 1206, lock table full. 1020, changed since the snapshot, with innodb_snapshot_isolation=ON.
MAYBE_ROLLED_BACK = (1205, 1206, 1020)


class Session:
    """The session of one wrapper, i.e. of one thread or greenlet and one alias.

    ``per_request`` keeps the connection from the first statement until ``release()``.
    """

    def __init__(
        self, pool, driver, *, per_request: bool, set_up=(), pin_on=None, cursor_class=None
    ):
        self.pool = pool
        self._driver = driver
        self._cursor_class = cursor_class or driver.Cursor
        self._per_request = per_request
        self._set_up = set_up
        self._pin_on = pin_on
        self.held = None
        self.pinned: str | None = None
        self._by_hand = 0
        self._autocommit = True
        self._in_transaction = False
        self._lost: Exception | None = None
        self._closed = False

    # -- the physical connection -----------------------------------------------------------

    def take(self):
        """The physical connection, checked out of the pool if the session has none."""
        connection = self.held
        if connection is None:
            if self._lost is not None:
                raise type(self._lost)(*self._lost.args)
            if self._closed:
                raise self._driver.InterfaceError(0, "This session was closed.")
            connection = self.pool.checkout()
            self.held = connection
            if connection.fresh:
                self._prepare(connection)
        return connection

    def _prepare(self, connection):
        """Session set-up: once for each physical connection, and again after a reset."""
        try:
            for statement in self._set_up:
                connection.run(statement)
        except BaseException:
            self._give_back("set-up failed")
            raise
        connection.fresh = False

    def _give_back(self, reason: str | None = None):
        connection, self.held = self.held, None
        if connection is not None:
            connection.forget_result()
            self.pool.release(connection, reason)

    def statement_begins(self, sql):
        """Get ready to run ``sql``; returns the connection to run it on and its effect."""
        if type(sql) is not str:
            sql = bytes(sql).decode("latin-1") if isinstance(sql, (bytes, bytearray)) else str(sql)
        effect = effect_of(sql, self._pin_on)
        if effect.needs_previous and self.held is None:
            raise self._driver.OperationalError(
                "mysql_pool: this statement asks for the result of the statement before it "
                "(LAST_INSERT_ID(), FOUND_ROWS(), ROW_COUNT(), SHOW WARNINGS), which ran on a "
                "connection that went back to the pool. Put both into transaction.atomic() or "
                "mysql_pool.pinned(), or use cursor.lastrowid or cursor.rowcount."
            )
        connection = self.take()
        if not self._autocommit and not self._in_transaction:
            self._in_transaction = True
            try:
                connection.begin_with_next()
            except BaseException as error:
                self.statement_failed(connection, error)
                raise
        return connection, effect

    def statement_ends(self, connection, effect=NOTHING):
        """Keep the connection or give it back, whatever the statement and the mode ask for."""
        if effect is not NOTHING:
            if effect.pins:
                self._pin(effect.pins)
            if effect.commits and connection.in_transaction() is None:
                self._in_transaction = False
        if self._autocommit:
            if connection.in_transaction() or connection.has_more_results():
                # A transaction begun in a way the rules do not know, or a further result.
                self._pin("open transaction")
            self._settle()
        elif connection.in_transaction() is False:
            self._in_transaction = False  # the statement committed; the next one begins anew

    def _settle(self):
        """Give the connection back unless something keeps it."""
        if self.pinned is None and not self._per_request and not self._by_hand:
            self._give_back()

    def statement_failed(self, connection, error):
        """After any exception in a statement, also one that came from outside (GreenletExit)."""
        if connection.is_reusable():
            # Where the server has rolled back all of the transaction, Django would tell its caller,
            # but one that catches the error and goes on must be in a transaction still.
            number = error.args[0] if error.args else None
            if number == DEADLOCK:
                self._in_transaction = False
            elif number in MAYBE_ROLLED_BACK and self._in_transaction:
                self._see_what_is_left(connection)
            self.statement_ends(connection)
            return
        if self._in_transaction or self._autocommit is False or self.pinned or self._by_hand:
            # Going on with another connection would run the rest outside of the transaction, or
            # without the lock, that the code relies on.
            self._lost = self._driver.OperationalError(
                2013,
                "Lost connection to MySQL server in a transaction or in a session with state "
                f"({self.pinned or 'transaction'}); nothing more can be done in it.",
            )
        self._forget()
        self._give_back("interrupted" if not isinstance(error, Exception) else "lost")

    def _see_what_is_left(self, connection):
        try:
            self._in_transaction = connection.is_transaction_open()
        except BaseException as error:
            self.statement_failed(connection, error)
            raise

    def _forget(self):
        self._in_transaction = False
        self.pinned = None

    # -- pinning ---------------------------------------------------------------------------

    def _pin(self, reason: str):
        if self.pinned is None:
            self.pinned = reason
            self.pool.pinned_by[reason] += 1

    def hold(self):
        """Keep the connection, once there is one, until ``let_go()``; can be nested."""
        self._by_hand += 1

    def let_go(self):
        """Undo one ``hold()``; the last one gives the connection back if nothing keeps it."""
        self._by_hand -= 1
        if not self._by_hand and self._autocommit:
            self.release()

    def release(self):
        """The end of the request: give the connection back as clean as it was.

        An open transaction is rolled back. A changed session is reset at the server, or the
        connection is closed where the driver cannot reset.
        """
        self._lost = None
        connection = self.held
        if connection is None:
            self._forget()
            return
        reason = None
        try:
            if not connection.is_reusable():
                reason = "broken"
            elif self.pinned:
                # A reset rolls back too.
                reason = None if connection.reset() else "changed session"
                connection.fresh = True
            elif self._in_transaction:
                connection.run("ROLLBACK")
        except self._driver.Error:
            reason = "lost"
        except BaseException:
            self._forget()
            self._give_back("interrupted")
            raise
        self._forget()
        self._give_back(reason)

    # -- the DB-API connection that Django sees --------------------------------------------

    def cursor(self, cursorclass=None):
        """A cursor that takes the connection for each of its statements."""
        return SessionCursor(self, cursorclass)

    def autocommit(self, enabled: bool):
        """False: the next statement begins a transaction. True: commits an open one.

        Sends nothing by itself: the server's own autocommit stays on, and BEGIN goes out with
        the first statement of a transaction.
        """
        if enabled and not self._autocommit:
            self._autocommit = True
            if self._in_transaction:
                self.commit()
            else:
                self._settle()
        else:
            self._autocommit = bool(enabled)

    def get_autocommit(self) -> bool:
        """Whether each statement is a transaction of its own."""
        return self._autocommit

    def commit(self):
        """COMMIT, if anything was sent since the transaction began."""
        self._end_transaction("COMMIT")

    def rollback(self):
        """ROLLBACK; after a lost connection the server has done that already."""
        if self._lost is not None:
            self._lost = None
            return
        self._end_transaction("ROLLBACK")

    def _end_transaction(self, sql: str):
        if self._lost is not None:
            raise type(self._lost)(*self._lost.args)
        connection = self.held
        if connection is None:
            return
        if self._in_transaction or connection.in_transaction():
            try:
                connection.run(sql)
            except BaseException as error:
                self.statement_failed(connection, error)
                self._lost = None  # the transaction is over, and the caller knows how
                raise
            self._in_transaction = False
        self._settle()

    def ping(self, reconnect=False):
        """Ask the server; raises the driver's error when it does not answer."""
        connection = self.take()
        try:
            connection.ping()
        except BaseException as error:
            connection.busy = True
            self.statement_failed(connection, error)
            raise
        self.statement_ends(connection)

    def close(self):
        """Release for the last time: what comes after raises ``InterfaceError``."""
        self._closed = True
        self.release()

    def __getattr__(self, name):
        # Whatever else a caller wants of the driver's connection (thread_id(), escape(), …): it
        # gets the physical one, which then stays with it.
        if name.startswith("__"):
            raise AttributeError(name)
        connection = self.take()
        value = getattr(connection, name)
        if name in ("encoders", "encoding", "escape", "literal", "string_literal"):
            if self._autocommit:
                self._settle()  # these look at no session and send nothing
        else:
            self._pin("driver connection")
        return value

    def forget_after_fork(self):
        """In the child of a fork: the connection is the parent's."""
        if self.held is not None and (self._in_transaction or self.pinned):
            self._lost = self._driver.OperationalError(
                2013, "This process was forked in a transaction; the connection is the parent's."
            )
        self.held = None
        self._forget()


class SessionCursor:
    """A driver's cursor that is lent a connection for the time of each statement.

    Rows are in the cursor when a statement has ended; they stay readable without a connection.
    Unbuffered cursors (``SSCursor``) keep the connection until the request ends.
    """

    def __init__(self, session: Session, cursorclass=None):
        self._session = session
        cursorclass = cursorclass or session._cursor_class
        self._cursor = cursorclass(None)
        self._closed = False
        self._streams = issubclass(cursorclass, session._driver.UNBUFFERED_CURSOR)

    def execute(self, query, args=None):
        """Run one statement."""
        return self._run(self._cursor.execute, query, args)

    def executemany(self, query, args):
        """Run one statement with many sets of arguments."""
        return self._run(self._cursor.executemany, query, args)

    def callproc(self, procname, args=()):
        """Call a stored procedure; it may do anything to the session, so this pins."""
        return self._run(self._cursor.callproc, procname, args, "CALL")

    def _run(self, method, query, args, judged_as=None):
        session = self._session
        if self._closed:
            raise session._driver.ProgrammingError("This cursor was closed.")
        connection, effect = session.statement_begins(judged_as or query)
        cursor = self._cursor
        cursor.connection = connection
        try:
            result = method(query, args)
        except BaseException as error:
            if effect.pins:
                session._pin(effect.pins)  # a part of it may have been done
            session.statement_failed(connection, error)
            raise
        if self._streams:
            session._pin("unbuffered cursor")
        session.statement_ends(connection, effect)
        if session.held is None:
            cursor.connection = None  # another user's from now on
        return result

    def nextset(self):
        """Go on to the next result of the last statement."""
        session, cursor = self._session, self._cursor
        if session.held is None or session.held is not cursor.connection:
            return None
        try:
            return cursor.nextset()
        except BaseException as error:
            session.statement_failed(cursor.connection, error)
            raise

    def close(self):
        """Forget the rows; the cursor can run nothing any more."""
        self._closed = True
        if self._cursor.connection is not self._session.held:
            self._cursor.connection = None  # it went on to another user
        self._cursor.close()

    def __getattr__(self, name):
        return getattr(self._cursor, name)

    def __iter__(self):
        return iter(self._cursor)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
