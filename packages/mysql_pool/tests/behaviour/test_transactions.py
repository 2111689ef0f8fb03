"""Transactions are what Django documents, though they begin late and end early on the server."""

import os
import signal
import threading
import time
from contextlib import suppress

import pymysql
import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.utils import ProgrammingError

from packages.mysql_pool.tests.behaviour.scene import (
    DATABASE,
    Note,
    Threads,
    end_request,
    in_greenlets,
    run,
)


def values(table, using="default"):
    return [row[0] for row in run(f"SELECT value FROM {table} ORDER BY id", using=using)]


def insert(table, value, using="default"):
    run(f"INSERT INTO {table} (value) VALUES (%s)", [value], using=using)


def test_a_block_commits(table):
    with transaction.atomic():
        insert(table, 1)
        assert values(table, "other") == []
    assert values(table, "other") == [1]


def test_a_failing_block_rolls_back(table):
    with pytest.raises(KeyError), transaction.atomic():
        insert(table, 1)
        raise KeyError
    assert values(table) == []


def test_an_inner_block_rolls_back_alone(table):
    with transaction.atomic():
        insert(table, 1)
        with pytest.raises(KeyError), transaction.atomic():
            insert(table, 2)
            raise KeyError
        insert(table, 3)
    assert values(table) == [1, 3]


def test_an_error_in_the_first_statement_leaves_a_usable_session(table):
    with pytest.raises(ProgrammingError), transaction.atomic():
        run("SELECT nothing FROM nowhere")
    with pytest.raises(DatabaseError), transaction.atomic():
        run("SELECT %s, %s", [1])  # never leaves the driver
    with transaction.atomic():
        insert(table, 1)
    assert values(table) == [1]


def test_on_commit_runs_after_the_commit(table):
    after = []
    with transaction.atomic():
        insert(table, 1)
        transaction.on_commit(lambda: after.append(values(table, "other")))
        assert after == []
    assert after == [[1]]


@in_greenlets
def test_what_was_to_follow_a_commit_that_timed_out_does_not_follow_the_next(seen, table):
    import gevent

    after = []
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.5), transaction.atomic():
        insert(table, 1)
        transaction.on_commit(lambda: after.append("the first"))
        seen.hold_commits()
    seen.let_commit()
    with transaction.atomic():
        insert(table, 2)
        transaction.on_commit(lambda: after.append("the second"))
    assert after == ["the second"]
    assert 2 in values(table)


def test_manual_transactions_work(table):
    transaction.set_autocommit(False)
    insert(table, 1)
    transaction.rollback()
    insert(table, 2)
    transaction.commit()
    insert(table, 3)
    assert values(table, "other") == [2]
    transaction.rollback()
    transaction.set_autocommit(True)
    assert values(table) == [2]


def test_statements_after_ddl_are_in_a_transaction_again(table):
    transaction.set_autocommit(False)
    insert(table, 1)
    run("CREATE TABLE IF NOT EXISTS unrelated (id INT)")  # commits implicitly
    insert(table, 2)
    transaction.rollback()
    transaction.set_autocommit(True)
    run("DROP TABLE unrelated")
    assert values(table) == [1]


def test_select_for_update_excludes_the_others(use, table):
    use(MAX_CONNS=4, POOL_TIMEOUT=60)
    insert(table, 0)

    def request(number):
        for _ in range(5):
            with transaction.atomic():
                ((value,),) = run(f"SELECT value FROM {table} WHERE id = 1 FOR UPDATE")
                run(f"UPDATE {table} SET value = %s WHERE id = 1", [value + 1])
        end_request()

    assert Threads(10, request).join().errors == []
    assert values(table) == [50]


def test_lastrowid_and_rowcount_are_those_of_the_statement(table):
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} (value) VALUES (1), (2)")
        assert (cursor.lastrowid, cursor.rowcount) == (1, 2)
        cursor.executemany(f"INSERT INTO {table} (value) VALUES (%s)", [(3,), (4,), (5,)])
        assert cursor.rowcount == 3


def test_rows_stay_readable_while_others_use_the_connection(use, table):
    use(MAX_CONNS=1)
    run(f"INSERT INTO {table} (value) VALUES (1), (2), (3)")
    with connection.cursor() as one, connection.cursor() as two:
        one.execute(f"SELECT value FROM {table} ORDER BY id")
        assert one.fetchone() == (1,)
        two.execute("SELECT 'two'")
        assert one.fetchmany(2) == ((2,), (3,))
        assert two.fetchall() == (("two",),)


def test_a_second_result_can_be_fetched(use, server):
    use(MAX_CONNS=1)
    run("DROP PROCEDURE IF EXISTS two_results")
    run("CREATE PROCEDURE two_results() BEGIN SELECT 1; SELECT 2; END")
    with connection.cursor() as cursor:
        cursor.callproc("two_results")
        assert cursor.fetchall() == ((1,),)
        cursor.nextset()
        assert cursor.fetchall() == ((2,),)
    end_request()
    assert run("SELECT 3") == ((3,),)


def test_a_lost_connection_ends_the_transaction_and_not_silently(seen, table):
    with pytest.raises(OperationalError), transaction.atomic():
        insert(table, 1)
        seen.kill_all()
        with pytest.raises(OperationalError):
            insert(table, 2)
        with pytest.raises(OperationalError, match="nothing more can be done"):
            insert(table, 3)  # not on a new connection, outside of the transaction
    assert values(table) == []


def test_a_lost_connection_makes_the_commit_fail(seen, table):
    with pytest.raises(OperationalError), transaction.atomic():
        insert(table, 1)
        seen.kill_all()
    assert values(table) == []


def test_what_follows_a_deadlock_that_was_caught_is_in_a_transaction_still(use, table):
    use(MAX_CONNS=4, POOL_TIMEOUT=30)
    run(f"INSERT INTO {table} (value) VALUES (1), (2)")
    both = threading.Barrier(2)

    def request(number):
        first, second = (1, 2) if number else (2, 1)
        deadlock = False
        transaction.set_autocommit(False)
        run(f"UPDATE {table} SET value = value + 10 WHERE id = %s", [first])
        both.wait(10)
        try:
            run(f"UPDATE {table} SET value = value + 10 WHERE id = %s", [second])
        except OperationalError as error:
            deadlock = error.args[0] == 1213
        insert(table, 99)
        transaction.rollback()
        transaction.set_autocommit(True)
        return deadlock

    assert sorted(Threads(2, request).join()) == [False, True]
    assert values(table) == [1, 2]


@pytest.mark.parametrize("lock", ["row", "table"])
@pytest.mark.parametrize("all_of_it", ["ON", "OFF"])
def test_what_follows_a_lock_timeout_that_was_caught_is_in_a_transaction_still(
    use, new_server, request, all_of_it, lock
):
    # The same error 1205 has rolled back the transaction, or the statement only.
    own = new_server(
        innodb_rollback_on_timeout=all_of_it, innodb_lock_wait_timeout="1", lock_wait_timeout="1"
    )
    use(own)
    use(own, using="other")
    table = request.getfixturevalue("table")
    run(f"INSERT INTO {table} (value) VALUES (1), (2)")
    run("CREATE TABLE IF NOT EXISTS locked (id INT) ENGINE=InnoDB")
    with transaction.atomic(using="other"):
        if lock == "row":
            run(f"UPDATE {table} SET value = 1 WHERE id = 1", using="other")
        else:
            run("LOCK TABLES locked WRITE", using="other")
        transaction.set_autocommit(False)
        insert(table, 98)
        with pytest.raises(OperationalError, match="1205"):
            run("SELECT * FROM locked" if lock == "table" else f"UPDATE {table} SET value = 9")
        insert(table, 99)
    seen = own.sql(f"SELECT value FROM {table}", DATABASE)
    transaction.commit()
    transaction.set_autocommit(True)
    assert seen == [["1"], ["2"]]
    rolled_back = (all_of_it, lock) == ("ON", "row")
    assert values(table) == ([1, 2, 99] if rolled_back else [1, 2, 98, 99])


def test_closing_in_a_block_is_an_error_as_django_documents(table):
    with pytest.raises(ProgrammingError), transaction.atomic():
        insert(table, 1)
        connection.close()
        insert(table, 2)
    assert values(table) == []


@pytest.mark.parametrize("at", ["the first statement", "the rollback"])
def test_a_kill_query_at_the_worst_moment_stores_nothing(use, new_server, request, at):
    # What travels together arrives together with the KILL: the server is stopped meanwhile.
    own = new_server()
    use(own, MAX_CONNS=2)
    use(own, using="other")
    table = request.getfixturevalue("table")
    administrator = pymysql.connect(unix_socket=own.socket, user=own.administrator)

    def transaction_of(_, number, go, ready):
        with suppress(KeyError), transaction.atomic():
            if at == "the rollback":
                insert(table, number)
            ready.set()
            go.wait(10)
            if at == "the first statement":
                insert(table, number)
            else:
                raise KeyError

    def kill(connection_id):
        with suppress(pymysql.MySQLError):
            administrator.cursor().execute(f"KILL QUERY {connection_id}")

    for number in range(60):
        ((connection_id,),) = run("SELECT CONNECTION_ID()")
        end_request()
        go, ready = threading.Event(), threading.Event()
        one = Threads(1, transaction_of, number, go, ready)
        ready.wait(10)
        os.kill(own.pid, signal.SIGSTOP)
        try:
            go.set()
            time.sleep(0.003)  # the statement is in the server's socket
            killer = threading.Thread(target=kill, args=(connection_id,))
            killer.start()
            time.sleep(0.003)
        finally:
            os.kill(own.pid, signal.SIGCONT)
        killer.join()
        one.join()
        stored = (number,) in run(f"SELECT value FROM {table}", using="other")
        assert stored == (at == "the first statement" and not one.errors)
        end_request()
    administrator.close()


@pytest.fixture
def notes():
    with connection.schema_editor() as editor:
        editor.create_model(Note)
    yield Note.objects
    with connection.schema_editor() as editor:
        editor.delete_model(Note)


def test_the_orm_iterates_and_locks(notes):
    notes.bulk_create(Note(text=f"n{i}") for i in range(250))
    assert len({note.text for note in notes.iterator(chunk_size=50)}) == 250
    with transaction.atomic():
        note = notes.select_for_update().get(text="n7")
        note.text = "seven"
        note.save()
    assert notes.filter(text="seven").exists()
