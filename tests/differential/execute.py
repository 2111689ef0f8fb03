"""Runs one program in the worker, and writes down what came of each step.

`observe` is the whole of it; ``Run.do_<word>`` is what a step of that word does.
"""

import contextlib
import gc
import traceback

from django.db import connection, transaction

from .aftermath import aftermath
from .outcome import LOST_ERROR, brief, failure, outcome, plain
from .scene import Scene, as_another_user, end_request, eventually
from .statements import DATABASE, USER


class Unwritable:
    """An argument that no driver can write into a statement: PyMySQL takes any repr()."""

    def __repr__(self) -> str:
        raise TypeError("this cannot be written")


class Boom(Exception):
    """What a program raises itself."""


class AftermathFailed(BaseException):
    """The test's own look at what is left failed: no step may take that for an outcome."""


def observe(program: list, scene: Scene) -> dict:
    """Run a program from a clean start to the end of its last request; all that was seen."""
    scene.prepare()
    run = Run(scene)
    try:
        run.steps(program)
        run.step(["end"], "end")
    except AftermathFailed:
        return {"broken": traceback.format_exc()}
    finally:
        run.drop_cursor()
        left = scene.close()
    return {
        "log": run.log,
        "connections left": left,
        "in use at the end": scene.held(),
    }


class Run:
    """One user's run of a list of steps."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.log: list[dict] = []
        self._kept = None
        self._savepoints: list = []
        self._in_this_transaction = 0

    def steps(self, steps: list, before: str = "") -> None:
        """Run steps one after the other; an error that leaves its step ends the block."""
        for number, step in enumerate(steps, 1):
            self.step(step, f"{before}{number}")

    def step(self, step: list, at: str) -> None:
        """Run one step and log it."""
        word, *rest = step
        escapes, word = word.endswith("!"), word.rstrip("!")
        first = self._is_first_of_its_transaction()
        entry = {"at": at, "first": first}
        try:
            entry["outcome"] = {"result": plain(getattr(self, f"do_{word}")(*rest, at=f"{at}."))}
        except Exception as error:
            entry["outcome"] = failure(error)
            if "." in at and (escapes or self._leaves_the_block(word, entry["outcome"])):
                raise
        finally:
            if word != "end":  # or stock would open a connection for the answer
                entry["state"] = self.state()
            self.log.append(entry)

    @staticmethod
    def _leaves_the_block(word: str, of: dict) -> bool:
        # That the connection is lost is never caught inside of atomic(). With PyMySQL stock would
        # then fail in COMMIT with an InterfaceError, for which Django does not close it, and every
        # statement until the request ends would fail; the pool goes on with another connection.
        return of["error"] == LOST_ERROR and word != "atomic" and connection.in_atomic_block

    def _is_first_of_its_transaction(self) -> bool:
        """Whether no statement ran since the transaction began, or there is none."""
        if connection.in_atomic_block or (connection.connection and not connection.autocommit):
            return not self._in_this_transaction
        self._in_this_transaction = 0
        return True

    @staticmethod
    def state() -> dict:
        """What Django believes."""
        return {
            "in_atomic_block": connection.in_atomic_block,
            "needs_rollback": connection.in_atomic_block and connection.needs_rollback,
            "autocommit": outcome(transaction.get_autocommit),
            "savepoints": len(connection.savepoint_ids),
            "run_on_commit": len(connection.run_on_commit),
        }

    # -- statements ------------------------------------------------------------------------

    def do_sql(self, statement, args=None, at=""):
        with connection.cursor() as cursor:
            return self._execute(cursor, statement, args)

    def do_kept(self, statement, at=""):
        if self._kept is None:
            self._kept = connection.cursor()
        return self._execute(self._kept, statement, None)

    def _execute(self, cursor, statement, args):
        self._in_this_transaction += 1
        cursor.execute(statement, value(args))
        return self._read(cursor)

    @staticmethod
    def _read(cursor):
        rows = list(cursor.fetchall()) if cursor.description else None
        names = [column[0] for column in cursor.description or ()]
        return {"rows": rows, "columns": names, "count": cursor.rowcount, "id": cursor.lastrowid}

    def do_many(self, statement, sets, at=""):
        with connection.cursor() as cursor:
            self._in_this_transaction += 1
            cursor.executemany(statement, value(sets))
            return cursor.rowcount

    def do_callproc(self, name, at=""):
        with connection.cursor() as cursor:
            self._in_this_transaction += 1
            cursor.callproc(name)
            return self._read(cursor)

    def do_sets(self, statement, at=""):
        with connection.cursor() as cursor:
            results = [self._execute(cursor, statement, None)]
            while cursor.nextset():
                results.append(self._read(cursor))
            return results

    def do_stream(self, statement, at=""):
        from MySQLdb.cursors import SSCursor

        connection.ensure_connection()
        self._in_this_transaction += 1
        with contextlib.closing(connection.connection.cursor(SSCursor)) as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def do_driver(self, name, *args, at=""):
        connection.ensure_connection()
        return getattr(connection.connection, name)(*args)

    def do_copy(self, statement, at=""):
        copied = connection.copy()
        with copied.cursor() as cursor:
            cursor.execute(statement)
        del copied, cursor
        gc.collect()

    def drop_cursor(self):
        """Close the cursor that is used for several statements."""
        kept, self._kept = self._kept, None
        if kept is not None:
            with contextlib.suppress(Exception):  # of a connection that is closed
                kept.close()

    # -- transactions ----------------------------------------------------------------------

    def do_atomic(self, options, steps, at=""):
        with transaction.atomic(**options):
            self.steps(steps, at)

    def do_raise(self, at=""):
        raise Boom

    def do_autocommit(self, enabled, at=""):
        transaction.set_autocommit(enabled)

    def do_commit(self, at=""):
        transaction.commit()
        self._in_this_transaction = 0

    def do_rollback(self, at=""):
        transaction.rollback()
        self._in_this_transaction = 0

    def do_set_rollback(self, wanted, at=""):
        transaction.set_rollback(wanted)

    def do_savepoint(self, at=""):
        self._in_this_transaction += 1
        self._savepoints.append(transaction.savepoint())

    def do_savepoint_rollback(self, at=""):
        if self._savepoints:
            transaction.savepoint_rollback(self._savepoints.pop())

    def do_savepoint_commit(self, at=""):
        if self._savepoints:
            transaction.savepoint_commit(self._savepoints.pop())

    def do_on_commit(self, number, steps, at=""):
        def callback():
            self.log.append({"at": at.rstrip("."), "outcome": {"result": f"callback {number}"}})
            self.steps(steps, at)

        transaction.on_commit(callback)

    # -- the connection --------------------------------------------------------------------

    def do_close(self, at=""):
        self.drop_cursor()
        connection.close()

    def do_ensure(self, at=""):
        connection.ensure_connection()

    def do_usable(self, at=""):
        connection.ensure_connection()
        return connection.is_usable()

    def do_end(self, at=""):
        self.drop_cursor()
        del self._savepoints[:]
        ended = outcome(end_request)
        try:
            return {"end": ended, **aftermath(self.scene)}
        except Exception as error:
            raise AftermathFailed from error

    def do_pinned(self, steps, at=""):
        pinned = self.scene.pool.pinned() if self.scene.pool else contextlib.nullcontext()
        with pinned:
            self.steps(steps, at)

    # -- others ----------------------------------------------------------------------------

    def do_other(self, steps, at=""):
        def work():
            other = Run(self.scene)
            other.steps(steps, at)
            return other.log

        log = as_another_user(work)
        if isinstance(log, dict):
            raise RuntimeError(log["error"])
        self.log += log

    def do_global(self, name, new, steps, at=""):
        admin = self.scene.admin
        ((old,),) = admin(f"SELECT @@global.{name}")
        admin(f"SET GLOBAL {name} = %s", [new])
        try:
            self.steps(steps, at)
        finally:
            admin(f"SET GLOBAL {name} = %s", [old])

    def do_kill(self, what, at=""):
        # Only in a transaction: outside of one the pool is free to go on with another connection,
        # while stock cannot until the request ends.
        if not connection.in_atomic_block or not self._in_this_transaction:
            return "skipped"
        number = self._execute_one("SELECT CONNECTION_ID()")
        self.scene.admin(f"KILL {what} {number:d}")
        if what == "CONNECTION":
            eventually(lambda: number not in self.scene.connections())
            self._execute_one("SELECT 1")  # says that it is lost
        return None

    @staticmethod
    def _execute_one(statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def do_killed_while(self, statement, at=""):
        # The killer is a thread, and mysqlclient would let no greenlet run meanwhile.
        if self.scene.configuration["gevent"]:
            return "skipped"
        import threading

        ended = threading.Event()
        killer = threading.Thread(target=self._kill_what_sleeps, args=[ended])
        killer.start()
        try:
            return self.do_sql(statement)
        finally:
            ended.set()
            killer.join()

    def _kill_what_sleeps(self, ended):
        with contextlib.closing(self.scene.connect()) as admin, admin.cursor() as cursor:
            while not ended.wait(0.005):
                cursor.execute(
                    "SELECT id FROM information_schema.processlist"
                    " WHERE user = %s AND state = 'User sleep'",
                    [USER],
                )
                for (number,) in cursor.fetchall():
                    cursor.execute(f"KILL QUERY {number}")
                    return

    def do_timeout_in_commit(self, steps, at=""):
        # gevent.Timeout is what a caller would use; without gevent nothing can interrupt it.
        if (
            not self.scene.configuration["gevent"]
            or self.scene.configuration["driver"] != "pymysql"
        ):
            return "skipped"
        import gevent

        with contextlib.closing(self.scene.connect()) as admin, admin.cursor() as cursor:
            try:
                with gevent.Timeout(0.5), transaction.atomic():
                    self.steps(steps, at)
                    cursor.execute("FLUSH TABLES WITH READ LOCK")  # the COMMIT has to wait for it
            except gevent.Timeout:
                return "timed out"
            finally:
                cursor.execute("UNLOCK TABLES")

    def do_row_locked(self, steps, at=""):
        with contextlib.closing(self.scene.connect()) as holder, holder.cursor() as cursor:
            cursor.execute("SET innodb_lock_wait_timeout = 1")
            cursor.execute("BEGIN")
            locked = outcome(cursor.execute, f"UPDATE {DATABASE}.item SET value = 0 WHERE id = 3")
            self.steps(steps, at)
            holder.rollback()
            return brief(locked)

    def do_deadlock(self, at=""):
        if not connection.in_atomic_block:
            return "skipped"
        mine = [outcome(self._execute_one, "UPDATE item SET value = 40 WHERE id = 1")]
        if "error" in mine[0]:
            return [brief(mine[0])]
        with contextlib.closing(self.scene.connect()) as holder:
            with holder.cursor() as cursor:
                cursor.execute("BEGIN")
                # More work than the other has done, so that the other is the victim.
                cursor.execute(
                    f"INSERT INTO {DATABASE}.strange (value)"
                    " SELECT 1 FROM information_schema.collations LIMIT 200"
                )
                cursor.execute(f"UPDATE {DATABASE}.item SET value = 50 WHERE id = 2")
            # Sent, and its answer read later: it has to wait, and there is no thread for it.
            wait = f"UPDATE {DATABASE}.item SET value = 60 WHERE id = 1"
            holder._execute_command(3, wait)
            eventually(self.scene.somebody_waits, 0.3)
            mine.append(outcome(self._execute_one, "UPDATE item SET value = 70 WHERE id = 2"))
            mine.append(outcome(holder._read_query_result))
            holder.rollback()
        return [brief(one) for one in mine]


def value(args):
    """Arguments as a program means them: some have no form in JSON."""
    if isinstance(args, list):
        return [value(one) for one in args]
    if isinstance(args, dict):
        if "object" in args:
            return Unwritable()
        text, times = args["repeat"]
        return text * times
    return args
