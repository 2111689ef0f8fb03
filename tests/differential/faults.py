"""Fixed programs, one for each kind of fault that the pool once had or easily could have.

Random programs find these too, but not in every minute. Those that hold for one mode of
concurrency or compare only a part say so in `ONLY`.
"""

from .programs import UNWRITABLE
from .statements import INSERT, LOCK

SECOND = "INSERT INTO item (value) VALUES (2)"
END = ["end"]


def sql(*statements: str) -> list:
    """A step for each statement."""
    return [["sql", one] for one in statements]


def undone(*steps: list, **options: bool) -> list:
    """``atomic()`` around these steps that is rolled back."""
    return ["atomic", options, [*steps, ["raise!"]]]


#: INSERT; this; INSERT; rollback. Some of them commit, some do not, and some only on some servers.
BETWEEN = [
    "CREATE TABLE item (id INT)",
    "DROP TABLE nonexistent",
    "ALTER TABLE nonexistent ADD x INT",
    "TRUNCATE nonexistent",
    "TRUNCATE plain",
    "ANALYZE TABLE plain",
    "OPTIMIZE TABLE plain",
    "CHECK TABLE item",
    "REPAIR TABLE plain",
    "CHECKSUM TABLE plain",
    "FLUSH TABLES",
    "FLUSH STATUS",
    "RESET QUERY CACHE",
    "LOCK TABLES item WRITE",
    "UNLOCK TABLES",
    "CALL p_commit()",
    "CALL p_select_commit()",
    "CALL p_begin()",
    "CALL p_fail()",
    "COMMIT",
    "ROLLBACK",
    "BEGIN",
    "COMMIT AND CHAIN",
    "COMMIT RELEASE",
    "SET autocommit = 1",
    "SET autocommit = 0",
    "SET PASSWORD = PASSWORD('secret')",
    "CREATE TEMPORARY TABLE tt (id INT)",
    "CREATE /* x */ TEMPORARY TABLE tt (id INT)",
    "DROP TEMPORARY TABLE IF EXISTS tt",
    "SELECT '; DROP TABLE x'",
    "INSERT INTO item (value) SELECT 5 FROM DUAL WHERE 'sign; check the box' <> ''",
    "EXECUTE IMMEDIATE 'TRUNCATE plain'",
    "LOAD INDEX INTO CACHE plain",
    "CACHE INDEX plain IN nowhere",
    "ANALYZE SELECT 1",
    "INSTALL SONAME 'nonexistent'",
    "GRANT SELECT ON differential.item TO nobody",
    "CREATE OR REPLACE SEQUENCE numbers",
    "/*m*/TRUNCATE plain",
    "/*!TRUNCATE plain */",
    "SAVEPOINT a",
    "XA RECOVER",
    "DO 1",
    "RENAME TABLE nonexistent TO y",
    "HANDLER item OPEN",
    "CREATE USER IF NOT EXISTS zz",
    "BEGIN NOT ATOMIC COMMIT; END",
    "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
    "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205",
    "INSERT INTO named VALUES (1, 'again')",
    "INSERT INTO watched VALUES (1)",  # fails, but its trigger has set a variable
]
IMPLICIT = {f"between: {one}": [undone(*sql(INSERT, one, SECOND))] for one in BETWEEN}
IMPLICIT |= {
    f"by hand: {one}": [
        ["autocommit", False],
        *sql(INSERT, one, SECOND),
        ["rollback"],
        ["autocommit", True],
    ]
    for one in ("COMMIT", "ROLLBACK", "CREATE TABLE item (id INT)", "LOCK TABLES item WRITE")
}

#: A statement that leaves something in its session. The end of the program asks what is left.
LEAVES = [
    "SET @v = 1",
    "SELECT @v := 1",
    "SET ROLE chief",
    "SET foreign_key_checks = 0",
    "SET NAMES latin1",
    "SET SESSION TRANSACTION READ ONLY",
    "SET autocommit = 0",
    "/*master*/ SET foreign_key_checks = 0",
    "--\n-- Header\n--\nSET foreign_key_checks = 0",
    "/*master*/ USE information_schema",
    "USE information_schema",
    "/*master*/ START TRANSACTION",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "XA START 'x'",
    "CALL p_begin()",
    "CALL p_off()",
    "CALL p_set()",
    "SELECT f_set()",
    "SELECT f_lock()",
    "INSERT INTO watched VALUES (2)",  # its trigger sets a variable
    "SET profiling = 1",
    "BACKUP LOCK item",
    "BACKUP STAGE START",
    "FLUSH TABLES item WITH READ LOCK",
    "LOCK TABLES item WRITE",
    f"SELECT GET_LOCK('{LOCK}', 0)",
    "PREPARE ps FROM 'SELECT 1'",
    "HANDLER item OPEN",
    "CREATE /* x */ TEMPORARY TABLE tt (id INT)",
    "CREATE TEMPORARY TABLE item (id INT)",
    "EXECUTE IMMEDIATE 'SET @v = 14'",
]
LEFT = {f"left: {one}": sql(one) for one in LEAVES}
LEFT |= {f"left by atomic(): {one}": [["atomic", {}, sql(one, INSERT)]] for one in LEAVES}

#: A statement that is never sent: one value short, one that the driver cannot write, none at all.
UNSENT = {
    "an empty executemany": ["many", "INSERT INTO item (value) VALUES (%s)", []],
    "a value that cannot be written": ["sql", "SELECT %s", [UNWRITABLE]],
    "one value short": ["sql", "INSERT INTO named VALUES (%s, %s)", [1]],
    "a value too many": ["sql", "SELECT 1", [1]],
}
UNSENT_FIRST = {
    f"first in atomic(): {name}": [["atomic", {}, [step]], *sql(INSERT), END, *sql(SECOND)]
    for name, step in UNSENT.items()
}

CASES = {
    "a server with autocommit=0": [
        ["global", "autocommit", 0, [*sql(INSERT, "SET @v = 1"), END, *sql(SECOND), END]]
    ],
    "a server with init_connect": [
        ["global", "init_connect", "SET time_zone = '+05:00'", [*sql("SET @v = 1"), END]]
    ],
    "LASTVAL is a stranger's": [
        *sql("INSERT INTO sequenced (who) VALUES ('me')"),
        ["other", sql("INSERT INTO sequenced (who) VALUES ('other')")],
        *sql("SELECT LASTVAL(numbers)"),
    ],
    "LAST_INSERT_ID() is a stranger's": [
        *sql(INSERT),
        ["other", sql("INSERT INTO strange (value) VALUES (1)")],
        *sql("SET @v = 1", "SELECT LAST_INSERT_ID()"),
    ],
    "insert_id() is a stranger's": [
        *sql(INSERT),
        ["other", sql("INSERT INTO strange (value) VALUES (1)")],
        ["driver", "insert_id"],
    ],
    "insert_id() in its transaction": [["atomic", {}, [*sql(INSERT), ["driver", "insert_id"]]]],
    "pinned() is not reset": [["pinned", sql("SELECT f_set()", "SELECT f_lock()")]],
    "a request ends in pinned()": [["pinned", [*sql("SELECT f_set()"), *sql("SELECT @v")]]],
    "CREATE PROCEDURE with LAST_INSERT_ID() in its body": sql(
        "SELECT 1",  # a first statement's connection is there already
        "CREATE PROCEDURE p_new() BEGIN INSERT INTO item (value) VALUES (1);"
        " SELECT LAST_INSERT_ID(); END",
        "CALL p_new()",
    ),
    "CREATE TRIGGER with ROW_COUNT() in its body": sql(
        "SELECT 1",
        "CREATE TRIGGER item_rows AFTER INSERT ON item FOR EACH ROW SET @rows = ROW_COUNT()",
    ),
    "a compound statement with ROW_COUNT()": sql(
        "SELECT 1", "BEGIN NOT ATOMIC INSERT INTO item (value) VALUES (1); SELECT ROW_COUNT(); END"
    ),
    "a literal that names LAST_INSERT_ID()": sql(
        "SELECT 1", "SELECT 'LAST_INSERT_ID()'", "SELECT 1 AS `ROW_COUNT()` -- FOUND_ROWS()"
    ),
    "LOCK TABLES holds in a transaction": [
        ["autocommit", False],
        *sql("LOCK TABLES strange WRITE", "SELECT COUNT(*) FROM strange"),
        ["other", sql("INSERT INTO strange (value) VALUES (99)")],
        ["rollback"],
        ["autocommit", True],
    ],
    "a first statement over 16 MiB": [
        ["atomic", {}, [["sql", "SELECT LENGTH(%s)", [{"repeat": ["x", 17 * 2**20]}]]]]
    ],
    "an SSCursor read to its end": [
        ["stream", "SELECT id FROM item ORDER BY id"],
        *sql("SELECT 7"),
        ["atomic", {}, [*sql(INSERT), ["stream", "SELECT id FROM item"], *sql(SECOND)]],
    ],
    "set_character_set() survives": [["driver", "set_character_set", "latin1"], END],
    "a copy of the connection keeps a slot": [
        *[["copy", "SET @v = 1"]] * 3,
        *sql("SELECT 1"),
    ],
    "SET TRANSACTION first in atomic()": [
        ["atomic", {}, sql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT 1 FROM item")],
        ["atomic", {}, sql("SET TRANSACTION READ ONLY", INSERT)],
    ],
    "SET TRANSACTION after BEGIN by hand": sql(
        "BEGIN", "SET TRANSACTION READ ONLY", INSERT, "COMMIT"
    ),
    "XA in a transaction": [
        ["autocommit", False],
        *sql("XA START 'x'", INSERT, "XA END 'x'", "XA COMMIT 'x' ONE PHASE"),
        ["rollback"],
        ["autocommit", True],
    ],
    "a deadlock that is caught": [undone(["deadlock"], *sql(INSERT))],
    "a lock wait that is caught": [
        ["row_locked", [undone(*sql(INSERT, "UPDATE item SET value = 9 WHERE id = 3", SECOND))]]
    ],
    "KILL in atomic()": [
        ["atomic", {}, [*sql(INSERT), ["on_commit", 1, []], ["kill", "CONNECTION"], *sql(SECOND)]],
        *sql(SECOND),
        ["atomic", {}, sql(INSERT)],
    ],
    "KILL QUERY during the first statement": [
        ["atomic", {}, [["killed_while", "INSERT INTO item (value) SELECT SLEEP(5) FROM named"]]],
        *sql(INSERT),
    ],
    "CALL and its result sets": [["sets", "CALL p_select()"], ["atomic", {}, sql(INSERT)]],
    "CALL that commits, and its result sets": [
        undone(*sql(INSERT), ["sets", "CALL p_select_commit()"], *sql(SECOND))
    ],
    "on_commit in the order of the blocks": [
        [
            "atomic",
            {},
            [
                ["on_commit", 1, []],
                undone(["on_commit", 2, []]),
                ["on_commit", 3, sql(INSERT)],
                *sql(SECOND),
            ],
        ]
    ],
    "a connection closed in atomic()": [
        ["atomic", {}, [*sql(INSERT), ["close"], *sql(SECOND)]],
        *sql(INSERT),
    ],
    "autocommit is off at the end of the request": [["autocommit", False], *sql(INSERT), END],
    "a request that ends in a transaction by hand": [*sql("BEGIN", INSERT), END, *sql(SECOND)],
    "callbacks of a COMMIT that timed out": [
        ["timeout_in_commit", [*sql(INSERT), ["on_commit", 1, []]]],
        ["atomic", {}, sql(SECOND)],
    ],
}

FAULTS = {**CASES, **UNSENT_FIRST, **IMPLICIT, **LEFT}
#: What to compare, where not all of it can be the same. After a time-out in COMMIT stock is broken
#: until the request ends and the pool is not; but neither may run callbacks of that transaction.
ONLY = {"callbacks of a COMMIT that timed out": ("callbacks",)}
