"""What a request leaves behind: in the tables, at the server, and for the next users.

Looked at from outside by the administrator, and by two users at the same time who between them get
every connection that a pool of two can have. With the stock backend they get new ones: that is
what they have to look like.
"""

from django.db import connection, transaction

from .outcome import outcome
from .scene import Scene, as_another_user, eventually
from .statements import DATABASE

#: Variables that differ from one new connection to the next, or tell of no session.
NOISE = {
    "timestamp",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "last_gtid",
    "statement_id",
    "innodb_sync_spin_loops",
    # The result of the statement before: a connection that was not changed is not reset for it,
    # and what reads it where it may be a stranger's is refused (see meant.py).
    "last_insert_id",
    "identity",
    "warning_count",
    "error_count",
    # How far the pool itself asks the server to tell of changes; nobody's answers depend on it.
    "session_track_schema",
    "session_track_state_change",
    "session_track_system_variables",
    "session_track_transaction_info",
}
QUESTIONS = [
    "SELECT DATABASE(), CURRENT_USER(), CURRENT_ROLE()",
    "SELECT @v, @w, @by_trigger, @rows",
    "SELECT @@tx_isolation, @@tx_read_only",
    "SELECT LENGTH('ä'), COLLATION('a')",
    "SELECT COUNT(*) FROM tt",
    "SELECT COUNT(*) FROM named WHERE id < 2",  # refused under another's LOCK TABLES
    "EXECUTE ps",
    "HANDLER item READ FIRST",
    "SELECT COUNT(*) FROM kept WHERE who LIKE '%%'",
]


class Undo(Exception):
    """Raised by the next user to have the transaction rolled back."""


def aftermath(scene: Scene) -> dict:
    """All of it, after the end of a request."""
    eventually(scene.is_settled)
    return {
        "stored": stored(scene),
        "left at the server": {
            "transactions": scene.transactions(),
            "lock": scene.lock_is_used(),
            "XA": len(scene.admin("XA RECOVER")),
            "more than two connections": len(scene.connections()) > 2,
            "in use": scene.held(),
            "tables cannot be locked": outcome(_lock_tables, scene),
        },
        "next user": as_another_user(next_user, scene, 1),
    }


def stored(scene: Scene) -> dict:
    """What the tables hold, as the administrator sees it."""
    names = {row[0] for row in scene.admin(f"SHOW TABLES FROM {DATABASE}")}
    return {
        name: sorted(map(repr, scene.admin(f"SELECT * FROM {DATABASE}.`{name}` LIMIT 50")))
        for name in sorted(names - {"kept", "numbers"})
    }


def _lock_tables(scene: Scene) -> None:
    try:
        scene.admin(f"LOCK TABLES {DATABASE}.item WRITE, {DATABASE}.kept WRITE")
    finally:
        scene.admin("UNLOCK TABLES")


def next_user(scene: Scene, number: int) -> dict:
    """What one user finds; the first has another one beside, on the other connection."""
    answers = {}
    # First of all a write: is it stored, or does it go into a transaction that was left open?
    answers["INSERT"] = outcome(run, f"INSERT INTO kept VALUES ('user {number}')")
    if "error" in answers["INSERT"]:
        return answers  # there is enough to see, and a pool without a slot lets each statement wait
    answers["its row is stored"] = _count(scene, f"user {number}")
    answers["variables"] = outcome(variables)
    try:
        with transaction.atomic():
            for question in QUESTIONS:
                answers[question] = outcome(run, question)
            if number == 1:
                answers["another user beside"] = as_another_user(next_user, scene, 2)
            answers["INSERT in atomic()"] = outcome(run, "INSERT INTO kept VALUES ('undone')")
            raise Undo
    except Undo:
        answers["its rows after rollback"] = _count(scene, "undone")
    except Exception as error:
        answers["atomic()"] = repr(error)
    return answers


def _count(scene: Scene, who: str) -> int:
    return scene.admin(f"SELECT COUNT(*) FROM {DATABASE}.kept WHERE who = %s", [who])[0][0]


def run(statement: str) -> list:
    """Run one statement through Django; the rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def variables() -> dict[str, str]:
    """All session variables but `NOISE`."""
    return {name: value for name, value in run("SHOW SESSION VARIABLES") if name not in NOISE}
