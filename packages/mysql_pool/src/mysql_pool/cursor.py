"""A driver's cursor that is lent a connection for the time of each statement. Knows no Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .drivers.contract import DriverCursor, PhysicalConnection

if TYPE_CHECKING:
    from .session import Session


class SessionCursor:
    """Rows are in the cursor when a statement has ended; they stay readable without a connection.

    An unbuffered cursor (``SSCursor``) keeps the connection until its rows are read, or the request
    ends. To read on after the end of the request is an error.
    """

    def __init__(self, session: Session, cursorclass: type[DriverCursor] | None = None):
        self._session = session
        cursorclass = cursorclass or session.cursor_class
        self._cursor: Any = cursorclass(None)  # a DriverCursor with what else its driver has
        self._closed = False
        self._streams = issubclass(cursorclass, session.driver.UNBUFFERED_CURSOR)
        self._reading: PhysicalConnection | None = None
        """The connection that unread rows come from."""

    @property
    def connection(self) -> Session:
        """What Django takes for the driver's connection."""
        return self._session

    def execute(self, query: Any, args: Any = None) -> Any:
        """Run one statement."""
        return self._run(self._cursor.execute, query, args)

    def executemany(self, query: Any, args: Any) -> Any:
        """Run one statement with many sets of arguments."""
        return self._run(self._cursor.executemany, query, args)

    def callproc(self, procname: Any, args: Any = ()) -> Any:
        """Call a stored procedure; it may do anything to the session, so this pins."""
        return self._run(self._cursor.callproc, procname, args, "CALL")

    def mogrify(self, query: Any, args: Any = None) -> Any:
        """The text that would be sent."""
        session, cursor = self._session, self._cursor
        connection, _ = session.statement_begins("SELECT 1")
        cursor.connection = connection
        try:
            return cursor.mogrify(query, args)
        finally:
            session.statement_ends(connection)
            self._part()

    def _run(
        self, method: Callable[[Any, Any], Any], query: Any, args: Any, judged_as: str | None = None
    ) -> Any:
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

    def _part(self) -> None:
        """Forget the connection once the session has released it: it may be another user's."""
        if self._session.held is None:
            self._cursor.connection = None

    def nextset(self) -> Any:
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

    def close(self) -> None:
        """Forget the rows; the cursor can run nothing any more."""
        self._closed = True
        session, cursor = self._session, self._cursor
        connection = session.held
        if connection is None or cursor.connection is not connection:
            cursor.connection = None  # another user may have it
            cursor.close()
            return
        try:
            cursor.close()  # reads what is left
        except BaseException as error:
            session.statement_failed(connection, error)
            raise

    def __getattr__(self, name: str) -> Any:
        if name.startswith("fetch") and self._reading is not None:
            self._check_that_rows_are_there()
        return getattr(self._cursor, name)

    @property
    def arraysize(self) -> int:
        """How many rows ``fetchmany()`` gives."""
        size: int = self._cursor.arraysize
        return size

    @arraysize.setter
    def arraysize(self, number: int) -> None:
        self._cursor.arraysize = number

    def _check_that_rows_are_there(self) -> None:
        reading = self._reading
        if reading is None:
            return
        if not reading.busy and self._session.held is reading:
            self._reading = None  # read to the end
        elif self._session.held is not reading:
            raise self._session.driver.OperationalError(
                2013,
                "mysql_pool: the connection of this unbuffered cursor went back with the end of "
                "the request, and unread rows with it. Read them before, or use a buffered cursor.",
            )

    def __iter__(self) -> Iterator[Any]:
        if self._reading is not None:
            self._check_that_rows_are_there()
        return iter(self._cursor)

    def __enter__(self) -> SessionCursor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
