"""A connection that was reset is as a new one: everything that a session has is compared."""

import contextlib

import pytest
from django.db import OperationalError, connection, connections

from mysql_pool import close_pool, pinned, stats
from packages.mysql_pool.tests.behaviour.scene import (
    DATABASE,
    USER,
    Threads,
    end_request,
    in_transaction_mode,
    run,
)

#: Variables that differ between two new sessions too.
DIFFER = {
    "pseudo_thread_id": "the number of the connection",
    "timestamp": "the time",
    "rand_seed1": "of the session's own random numbers",
    "rand_seed2": "of the session's own random numbers",
    "in_transaction": "of the statement that asks",
    "warning_count": "of the statement before",
    "error_count": "of the statement before",
    "gtid_seq_no": "what the next event of the binary log will have",
    "last_gtid": "the session's last commit",
    "statement_id": "counts statements",
}
#: Variables that the test leaves alone: the account may not set them, or the session would be of no
#: use afterwards (it is closed, hears nothing, or cannot read).
LEFT_ALONE = frozenset(
    "character_set_client max_statement_time net_read_timeout net_write_timeout wait_timeout "
    "interactive_timeout max_allowed_packet pseudo_thread_id pseudo_slave_mode profiling "
    "max_execution_time query_prealloc_size "
    "idle_transaction_timeout idle_write_transaction_timeout "
    "idle_readonly_transaction_timeout optimizer_max_sel_args max_session_mem_used "
    "max_recursive_iterations thread_stack sql_select_limit sql_safe_updates sql_log_bin "
    "tx_read_only transaction_read_only autocommit completion_type skip_replication "
    "sql_slave_skip_counter".split()
)


def session():
    """All that can be asked of a session."""
    everything = dict(run("SHOW SESSION VARIABLES"))
    for name in DIFFER:
        everything.pop(name, None)
    (everything["role"], everything["database"], everything["user variable"]) = run(
        "SELECT CURRENT_ROLE(), DATABASE(), @mine"
    )[0]
    return everything


def others(value):
    """Values that a variable may have instead of this one."""
    if value in ("ON", "OFF"):
        return ["OFF" if value == "ON" else "ON"]
    try:
        number = float(value)
    except ValueError:
        return ["", "latin1", "latin1_swedish_ci", "+05:00", "de_DE", "SERIALIZABLE", "MyISAM", 1]
    return [int(number) + 1, int(number) * 2 or 1, int(number) // 2, 1, 0]


def change_all(names):
    """SET what can be; the names of those that have changed."""
    before = session()
    for name in names:
        if name in LEFT_ALONE or before.get(name) is None:
            continue
        for value in others(before[name]):
            with contextlib.suppress(Exception):
                run(f"SET SESSION {name} = %s", [value])
                break
    after = session()
    return [name for name in after if after[name] != before[name]]


def with_another_user(function):
    """What the next user of the connection gets."""
    end_request()
    return function()


def test_after_a_program_that_changed_all_it_could_a_session_is_as_new(use):
    use(MAX_CONNS=1)
    new = session()
    end_request()
    run("SET @mine = 1")
    changed = change_all(new)
    assert len(changed) > 80, changed  # MariaDB 10.11 has more than 100 of them, MySQL 9.7 84
    assert "user variable" not in changed
    left = with_another_user(session)
    assert {name: left[name] for name in new if left[name] != new[name]} == {}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("SET NAMES latin1", ["character_set_client", "character_set_connection"]),
        ("SET CHARACTER SET latin1", ["character_set_client", "character_set_results"]),
        ("SET autocommit = 0", ["autocommit"]),
        ("SET SESSION TRANSACTION READ ONLY", []),
        ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", []),
        ("SET SESSION wait_timeout = 5, net_read_timeout = 5", ["wait_timeout"]),
        ("SET SESSION max_allowed_packet = DEFAULT", []),
        ("SET SESSION sql_select_limit = 1", []),
        ("SET SESSION completion_type = 'CHAIN'", ["completion_type"]),
        ("SET SESSION sql_safe_updates = 1", ["sql_safe_updates"]),
        ("SET profiling = 1", ["profiling"]),
        ("SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", ["sql_mode"]),
        ("USE information_schema", ["database"]),
    ],
)
def test_what_would_disturb_the_others_is_as_new_too(use, change, names):
    use(MAX_CONNS=1)
    new = session()
    end_request()
    with contextlib.suppress(OperationalError):
        run(change)
    if names:
        changed = session()
        assert [name for name in names if changed[name] == new[name]] == []
    left = with_another_user(session)
    assert {name: left[name] for name in new if left[name] != new[name]} == {}


# -- what is no variable ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("take", "conflict"),
    [
        (["SELECT GET_LOCK('mine', 0)"], None),
        (["LOCK TABLES item WRITE"], "INSERT INTO item (value) VALUES (1)"),
        (["BACKUP LOCK item"], "SET STATEMENT lock_wait_timeout=1 FOR ALTER TABLE item FORCE"),
        (["FLUSH TABLES item WITH READ LOCK"], "INSERT INTO item (value) VALUES (1)"),
        (["HANDLER item OPEN"], "SET STATEMENT lock_wait_timeout=1 FOR ALTER TABLE item FORCE"),
        (["START TRANSACTION", "SELECT * FROM item FOR UPDATE"], "DELETE FROM item"),
        (["XA START 'mine'", "INSERT INTO item (value) VALUES (1)"], "DELETE FROM item"),
        (["SET autocommit = 0", "UPDATE item SET value = 2"], "DELETE FROM item"),
    ],
)
def test_locks_end_with_the_request(use, server, table, take, conflict):
    if server.programs.flavour != "mariadb" and (
        "BACKUP" in take[0] or "STATEMENT" in str(conflict)
    ):
        pytest.skip("a statement of MariaDB")
    use(MAX_CONNS=1)
    server.sql(f"GRANT RELOAD ON *.* TO {USER}@'%'")
    close_pool()  # rights are those of the time of the connect
    run(f"INSERT INTO {table} (value) VALUES (1)")
    end_request()
    for statement in take:
        run(statement)
    assert stats()["default"]["in_use"] == 1
    end_request()
    if conflict is not None:
        server.sql(f"SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1; {conflict}", DATABASE)
    else:
        assert server.sql("SELECT IS_USED_LOCK('mine')") == [["NULL"]]


def test_a_backup_stage_ends_with_the_request(use, server, new_server):
    if server.programs.flavour != "mariadb":
        pytest.skip("a statement of MariaDB")
    own = new_server()
    use(own, MAX_CONNS=1)
    own.sql(f"GRANT RELOAD ON *.* TO {USER}@'%'")
    run("BACKUP STAGE START")
    run("BACKUP STAGE BLOCK_COMMIT")
    end_request()
    own.sql("SET lock_wait_timeout = 1; CREATE TABLE made (id INT) ENGINE=InnoDB", DATABASE)
    assert run("SELECT COUNT(*) FROM made") == ((0,),)


# -- what the server is told to do -----------------------------------------------------------


def test_with_a_server_that_has_autocommit_off_nobodys_writes_are_lost(use, new_server, request):
    own = new_server(autocommit="0")
    use(own, MAX_CONNS=1)
    table = request.getfixturevalue("table")
    for number in range(3):
        run(f"INSERT INTO {table} (value) VALUES (%s)", [number])
        end_request()
        run("SET @mine = 1")
        end_request()
        assert run("SELECT @@autocommit") == ((1,),)
        end_request()
    assert own.sql(f"SELECT value FROM {table} ORDER BY id", DATABASE) == [["0"], ["1"], ["2"]]


def test_init_connect_holds_after_a_reset(use, new_server):
    own = new_server(init_connect="SET SESSION time_zone = '+05:00', @mine = 5")
    use(own, MAX_CONNS=1)
    look = "SELECT @@time_zone, @mine"
    for _ in range(3):
        assert run(look) == (("+05:00", 5),)
        run("SET time_zone = '+00:00', @mine = 6")
        end_request()


@pytest.fixture
def role(server):
    """A role that the account may have, and may read another database with."""
    server.sql(
        "CREATE DATABASE secrets; CREATE TABLE secrets.one (id INT); CREATE ROLE boss;"
        f"GRANT ALL ON secrets.* TO boss; GRANT boss TO {USER}@'%'"
    )
    yield "boss"
    server.sql("DROP ROLE boss; DROP DATABASE secrets")


@pytest.mark.parametrize("how", ["SET ROLE boss", "CALL become_boss()"])
def test_a_role_ends_with_the_request(use, server, role, how):
    if server.programs.flavour != "mariadb":
        pytest.skip("roles of MySQL are not compared by name")
    use(MAX_CONNS=1)
    server.sql(f"GRANT boss TO {USER}@'%'")
    run("CREATE OR REPLACE PROCEDURE become_boss() SQL SECURITY INVOKER SET ROLE boss")
    end_request()
    run(how)
    assert run("SELECT CURRENT_ROLE()") == (("boss",),)
    end_request()
    assert run("SELECT CURRENT_ROLE()") == ((None,),)
    with pytest.raises(OperationalError, match="denied"):
        run("SELECT * FROM secrets.one")


def test_the_default_role_is_back_in_the_next_request(use, server, role):
    if server.programs.flavour != "mariadb":
        pytest.skip("roles of MySQL are not compared by name")
    use(MAX_CONNS=1)
    server.sql(f"GRANT boss TO {USER}@'%'; SET DEFAULT ROLE boss FOR {USER}@'%'")
    try:
        assert run("SELECT CURRENT_ROLE()") == (("boss",),)
        end_request()
        run("SET ROLE NONE")
        end_request()
        assert run("SELECT CURRENT_ROLE()") == (("boss",),)
        end_request()
    finally:
        server.sql(f"SET DEFAULT ROLE NONE FOR {USER}@'%'")


# -- what nobody can see ---------------------------------------------------------------------


@pytest.fixture
def my_function():
    """A stored function that leaves a user variable and a lock."""
    run("DROP FUNCTION IF EXISTS my_function")
    run(
        "CREATE FUNCTION my_function() RETURNS INT NOT DETERMINISTIC NO SQL "
        "BEGIN SET @who = 'user A'; RETURN GET_LOCK('mine', 0); END"
    )
    end_request()
    yield "my_function"
    run("DROP FUNCTION my_function")
    end_request()


def test_a_pinned_block_is_reset_at_its_end(use, server, my_function):
    use(MAX_CONNS=1)
    with pinned():
        run(f"SELECT {my_function}()")
    assert server.sql("SELECT IS_USED_LOCK('mine')") == [["NULL"]]
    assert run("SELECT @who") == ((None,),)


def test_what_a_stored_function_leaves_ends_with_the_request(use, server, my_function):
    use(MAX_CONNS=1)
    run(f"SELECT {my_function}()")
    end_request()
    assert server.sql("SELECT IS_USED_LOCK('mine')") == [["NULL"]]
    assert run("SELECT @who") == ((None,),)


def test_what_the_drivers_connection_was_told_ends_with_the_request(use):
    use(MAX_CONNS=1)
    look = "SELECT @@character_set_client, @@character_set_connection, LENGTH(%s)"
    new = run(look, ["ä"])
    end_request()
    connection.ensure_connection()
    connection.connection.set_character_set("latin1")
    end_request()
    assert run(look, ["ä"]) == new
    assert run("SELECT %s", ["€漢"]) == (("€漢",),)


@in_transaction_mode
@pytest.mark.parametrize("name", ["insert_id", "affected_rows", "show_warnings"])
def test_the_drivers_connection_tells_nothing_of_a_strangers_statement(use, table, name):
    use(MAX_CONNS=1)
    run(f"INSERT INTO {table} (id, value) VALUES (10, 1)")
    Threads(1, lambda number: run(f"INSERT INTO {table} (value) VALUES (2)")).join()
    refused = connection.Database.OperationalError
    with pytest.raises(refused, match="connection that went back"):
        getattr(connection.connection, name)()
    if name == "insert_id":
        with pinned():
            run(f"INSERT INTO {table} (id, value) VALUES (20, 1)")
            assert connection.connection.insert_id() == 20


def test_mogrify_needs_no_statement_before_it():
    with connection.cursor() as cursor:
        assert cursor.mogrify("SELECT %s", ["a'b"]) in ("SELECT 'a\\'b'", b"SELECT 'a\\'b'")


def test_a_reset_session_has_what_the_settings_ask_for(use):
    use(
        MAX_CONNS=1,
        init_command="SET SESSION lock_wait_timeout = 7; SET @mine = ';' ; SET @yours = 2",
        isolation_level="repeatable read",
    )
    look = "SELECT @@lock_wait_timeout, @mine, @yours"
    for _ in range(3):
        assert run(look) == ((7, ";", 2),)
        new = session()
        run("SET SESSION lock_wait_timeout = 8, @mine = 3, @yours = NULL")
        run("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        end_request()
        left = session()
        assert {name: left[name] for name in new if left[name] != new[name]} == {}
        end_request()
    connections.close_all()
    close_pool()
