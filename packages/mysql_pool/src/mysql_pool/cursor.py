"""A driver's cursor that is lent a connection for the time of each statement. Knows no Django."""


class SessionCursor:
    """Rows are in the cursor when a statement has ended; they stay readable without a connection.

    Unbuffered cursors (``SSCursor``) keep the connection until their rows are read, or the request
    ends; then to read on is an error.
    """

    def __init__(self, session, cursorclass=None):
        self._session = session
        cursorclass = cursorclass or session.cursor_class
        self._cursor = cursorclass(None)
        self._closed = False
        self._streams = issubclass(cursorclass, session.driver.UNBUFFERED_CURSOR)
        self._reading = None
        """The connection that unread rows come from."""

    @property
    def connection(self):
        """What Django takes for the driver's connection."""
        return self._session

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
        connection, _ = session.statement_begins("SELECT 1")
        cursor.connection = connection
        try:
            return cursor.mogrify(query, args)
        finally:
            session.statement_ends(connection)
            self._part()

    def _run(self, method, query, args, judged_as=None):
        session = self._session
        if self._closed:
            raise session.driver.ProgrammingError("This cursor was closed.")
        connection, effect = session.statement_begins(judged_as or query, args is not None)
        cursor = self._cursor
        cursor.connection = connection
        try:
            result = method(query, args)
        except BaseException as error:
            session.statement_failed(connection, error, effect)
            self._part()
            raise
        made = getattr(cursor, "lastrowid", None)  # PyMySQL's has none before the first statement
        if made is not None and cursor.description is None:
            session.last_row_id = made
        elif made:
            # The C library keeps the id of the statement before, which may be a stranger's.
            cursor.lastrowid = session.last_row_id
        if self._streams and connection.busy:
            self._reading = connection
            session.pin("unbuffered cursor")
        session.statement_ends(connection, effect)
        self._part()
        return result

    def _part(self):
        """The connection is another user's, once the session has given it back."""
        if self._session.held is None:
            self._cursor.connection = None

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
        if name.startswith("fetch") and self._reading is not None:
            self._check_that_rows_are_there()
        return getattr(self._cursor, name)

    @property
    def arraysize(self):
        """How many rows ``fetchmany()`` gives."""
        return self._cursor.arraysize

    @arraysize.setter
    def arraysize(self, number):
        self._cursor.arraysize = number

    def _check_that_rows_are_there(self):
        if not self._reading.busy and self._session.held is self._reading:
            self._reading = None  # read to the end
        elif self._session.held is not self._reading:
            raise self._session.driver.OperationalError(
                2013,
                "mysql_pool: the connection of this unbuffered cursor went back with the end of "
                "the request, and unread rows with it. Read them before, or use a buffered cursor.",
            )

    def __iter__(self):
        if self._reading is not None:
            self._check_that_rows_are_there()
        return iter(self._cursor)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
