"""A driver's cursor that is lent a connection for the time of each statement. Knows no Django."""


class SessionCursor:
    """Rows are in the cursor when a statement has ended; they stay readable without a connection.

    Unbuffered cursors (``SSCursor``) keep the connection until the request ends.
    """

    def __init__(self, session, cursorclass=None):
        self._session = session
        cursorclass = cursorclass or session.cursor_class
        self._cursor = cursorclass(None)
        self._closed = False
        self._streams = issubclass(cursorclass, session.driver.UNBUFFERED_CURSOR)

    def execute(self, query, args=None):
        """Run one statement."""
        return self._run(self._cursor.execute, query, args)

    def executemany(self, query, args):
        """Run one statement with many sets of arguments."""
        return self._run(self._cursor.executemany, query, args)

    def callproc(self, procname, args=()):
        """Call a stored procedure; it may do anything to the session, so this pins."""
        return self._run(self._cursor.callproc, procname, args, "CALL")

    def mogrify(self, query, args=None):
        """The text that would be sent."""
        session, cursor = self._session, self._cursor
        cursor.connection = connection = session.take()
        try:
            return cursor.mogrify(query, args)
        finally:
            session.statement_ends(connection)
            if session.held is None:
                cursor.connection = None

    def _run(self, method, query, args, judged_as=None):
        session = self._session
        if self._closed:
            raise session.driver.ProgrammingError("This cursor was closed.")
        connection, effect = session.statement_begins(judged_as or query)
        cursor = self._cursor
        cursor.connection = connection
        try:
            result = method(query, args)
        except BaseException as error:
            session.statement_failed(connection, error, effect)
            if session.held is None:
                cursor.connection = None
            raise
        if self._streams and connection.busy:
            effect = effect._replace(pins=effect.pins or "unbuffered cursor")
        session.statement_ends(connection, effect)
        if session.held is None:
            cursor.connection = None  # another user's from now on
        return result

    def nextset(self):
        """Go on to the next result of the last statement."""
        session, cursor = self._session, self._cursor
        connection = session.held
        if connection is None or connection is not cursor.connection:
            return None
        try:
            return cursor.nextset()
        except BaseException as error:
            session.statement_failed(connection, error)
            raise

    def close(self):
        """Forget the rows; the cursor can run nothing any more."""
        self._closed = True
        session, cursor = self._session, self._cursor
        connection = session.held
        if connection is None or cursor.connection is not connection:
            cursor.connection = None  # it went on to another user
            cursor.close()
            return
        try:
            cursor.close()  # reads what is left
        except BaseException as error:
            session.statement_failed(connection, error)
            raise

    def __getattr__(self, name):
        return getattr(self._cursor, name)

    def __iter__(self):
        return iter(self._cursor)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
