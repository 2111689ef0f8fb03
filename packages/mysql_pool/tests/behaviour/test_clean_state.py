"""Nothing that one request did to its session is seen by the next."""

import pytest
from django.db import OperationalError, connection, transaction

from mysql_pool import pinned, stats
from packages.mysql_pool.tests.behaviour.scene import (
    DRIVER,
    RELEASE,
    end_request,
    in_transaction_mode,
    run,
)

# what a request does; how the next one would see it; what it has to see (None: as a new session)
LEFTOVERS = {
    "user variable": ("SET @left = 1", "SELECT @left"),
    "user variable in a query": ("SELECT @left := 1", "SELECT @left"),
    "session variable": ("SET SESSION sql_mode = 'ANSI'", "SELECT @@sql_mode"),
    "plain set": ("SET foreign_key_checks = 0", "SELECT @@foreign_key_checks"),
    "isolation": ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT @@autocommit"),
    "names": ("SET NAMES latin1", "SELECT @@character_set_client"),
    "time zone": ("SET time_zone = '+05:00'", "SELECT @@time_zone"),
    "lock": ("SELECT GET_LOCK('left', 0)", "SELECT IS_USED_LOCK('left')"),
    "database": ("USE information_schema", "SELECT DATABASE()"),
    "autocommit": ("SET autocommit = 0", "SELECT @@autocommit"),
    "comment in front": ("/* hello */ SET @left = 2", "SELECT @left"),
    "executable comment": ("/*!40000 SET @left = 3 */", "SELECT @left"),
}


@pytest.mark.parametrize("kind", LEFTOVERS)
def test_session_state_ends_with_the_request(use, kind):
    use(MAX_CONNS=1)
    leave, look = LEFTOVERS[kind]
    untouched = run(look)
    end_request()
    run(leave)
    end_request()
    assert run(look) == untouched


def test_a_temporary_table_ends_with_the_request(use):
    use(MAX_CONNS=1)
    run("CREATE TEMPORARY TABLE scratch (id INT)")
    run("INSERT INTO scratch VALUES (1)")
    assert run("SELECT COUNT(*) FROM scratch") == ((1,),)
    end_request()
    with pytest.raises(Exception, match="scratch"):
        run("SELECT COUNT(*) FROM scratch")


def test_table_locks_end_with_the_request(use, table):
    use(MAX_CONNS=2)
    run(f"LOCK TABLES {table} WRITE")
    end_request()
    run(f"INSERT INTO {table} (value) VALUES (1)", using="other")


def test_a_prepared_statement_ends_with_the_request(use):
    use(MAX_CONNS=1)
    run("PREPARE ready FROM 'SELECT 5'")
    assert run("EXECUTE ready") == ((5,),)
    end_request()
    with pytest.raises(Exception, match="ready"):
        run("EXECUTE ready")


def test_a_transaction_begun_by_hand_is_rolled_back_at_the_end(use, table):
    use(MAX_CONNS=1)
    run("START TRANSACTION")
    run(f"INSERT INTO {table} (value) VALUES (1)")
    end_request()
    assert run(f"SELECT COUNT(*) FROM {table}") == ((0,),)


def test_session_state_survives_within_the_request(use):
    from packages.mysql_pool.tests.behaviour.scene import Threads

    use(MAX_CONNS=3, POOL_TIMEOUT=30)

    def request(number):
        run("SET @mine = %s", [number])
        for _ in range(20):
            assert run("SELECT @mine") == ((number,),)
        end_request()

    assert Threads(12, request).join().errors == []


def test_the_isolation_level_is_read_committed_again_after_a_reset(use, seen):
    use(MAX_CONNS=1)
    name = "tx_isolation" if not _has_transaction_isolation() else "transaction_isolation"
    run("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    assert run(f"SELECT @@{name}") == (("SERIALIZABLE",),)
    end_request()
    assert run(f"SELECT @@{name}") == (("READ-COMMITTED",),)


def _has_transaction_isolation():
    return bool(run("SHOW VARIABLES LIKE 'transaction_isolation'"))


@in_transaction_mode
def test_last_insert_id_of_another_statement_is_an_error_and_not_a_strangers_number(table):
    run(f"INSERT INTO {table} (value) VALUES (1)")
    with pytest.raises(OperationalError, match="connection that went back"):
        run("SELECT LAST_INSERT_ID()")
    with transaction.atomic():
        run(f"INSERT INTO {table} (value) VALUES (2)")
        assert run("SELECT LAST_INSERT_ID()") == ((2,),)


def test_pinned_keeps_one_connection(table):
    with pinned():
        run(f"INSERT INTO {table} (value) VALUES (1)")
        assert run("SELECT LAST_INSERT_ID()") == ((1,),)
        with pinned():
            run(f"INSERT INTO {table} (value) VALUES (2)")
        assert run("SELECT LAST_INSERT_ID()") == ((2,),)
        assert stats()["default"]["in_use"] == 1
    assert stats()["default"]["in_use"] == 0


def test_a_project_rule_pins_too(use):
    use(PIN_ON=r"\bmy_function\(")
    with pytest.raises(Exception, match="my_function"):
        run("SELECT my_function()")
    assert stats()["default"]["pinned"] == {"project rule": 1}
    assert stats()["default"]["in_use"] == 1


def test_a_project_rule_hides_no_built_in_one(use, table):
    use(MAX_CONNS=1, PIN_ON="INSERT|COMMIT|LAST_INSERT_ID|SET")
    with transaction.atomic():
        run(f"INSERT INTO {table} (value) VALUES (1)")
    end_request()
    assert run(f"SELECT value FROM {table}", using="other") == ((1,),)
    if RELEASE == "transaction":
        with pytest.raises(OperationalError, match="connection that went back"):
            run("SELECT LAST_INSERT_ID()")
    run("SET @left = 1")
    end_request()
    assert run("SELECT @left") == ((None,),)


def test_ordinary_statements_do_not_pin(table):
    for sql in (
        "SELECT 1",
        f"INSERT INTO {table} (value) VALUES (1)",
        f"UPDATE {table} SET value = 2 WHERE id = 1",
        f"SELECT * FROM {table} FOR UPDATE",
        f"SELECT CASE WHEN value = 1 THEN 2 END, IF(value, 1, 0) FROM {table}",
        f"DELETE FROM {table}",
        "SELECT @@max_connections",
    ):
        run(sql)
    assert stats()["default"]["pinned"] == {}


def test_an_unbuffered_cursor_keeps_its_connection(use, table):
    import MySQLdb.cursors

    use(MAX_CONNS=1)
    run(f"INSERT INTO {table} (value) VALUES (1), (2), (3)")
    connection.ensure_connection()
    cursor = connection.connection.cursor(MySQLdb.cursors.SSCursor)
    cursor.execute(f"SELECT value FROM {table} ORDER BY id")
    assert cursor.fetchone() == (1,)
    end_request()  # two rows unread
    assert run("SELECT 7") == ((7,),)


def test_init_command_and_sql_mode_hold_after_a_reset_too(use):
    use(MAX_CONNS=1, init_command="SET SESSION lock_wait_timeout = 7", sql_mode="ANSI_QUOTES")
    look = "SELECT @@lock_wait_timeout, @@sql_mode"
    assert run(look) == ((7, "ANSI_QUOTES"),)
    run("SET SESSION lock_wait_timeout = 8, sql_mode = 'PIPES_AS_CONCAT'")
    end_request()
    assert run(look) == ((7, "ANSI_QUOTES"),)


@pytest.mark.skipif(DRIVER != "mysqlclient", reason="PyMySQL's closed cursors keep their rows")
def test_a_closed_cursor_has_no_rows_as_without_the_pool(use):
    use()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    with pytest.raises(TypeError):  # mysqlclient's own way to say it
        cursor.fetchall()
