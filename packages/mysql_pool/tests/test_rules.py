"""What a statement leaves behind in its session, judged by its text alone."""

import re
import time

import pytest

from mysql_pool.functions import NATIVE
from mysql_pool.rules import LEAVES, PREVIOUS, STATEFUL, effect_of

#: As Django writes them (5.2 and 6.1; taken from the log of its statements).
FROM_DJANGO = """
SELECT `auth_user`.`id`, `auth_user`.`email` FROM `auth_user` WHERE `auth_user`.`id` = %s LIMIT 21
SELECT 1 AS `a` FROM `auth_user` WHERE `auth_user`.`username` = %s LIMIT 1
SELECT COUNT(*) AS `__count` FROM `auth_user`
SELECT COUNT(*) FROM (SELECT DISTINCT `auth_user`.`id` AS `col1` FROM `auth_user`) subquery
SELECT MAX(`scene_note`.`id`) AS `id__max`, AVG(`a`.`b`) AS `b__avg` FROM `scene_note`
SELECT `a`.`id` FROM `a` INNER JOIN `b` ON (`a`.`b_id` = `b`.`id`) WHERE `b`.`c` IN (%s, %s) ORDER BY `a`.`id` ASC
SELECT `a`.`id` FROM `a` WHERE (`a`.`b` LIKE BINARY %s AND NOT (`a`.`c` IS NULL)) FOR UPDATE
SELECT `a`.`id` FROM `a` WHERE `a`.`b` = %s FOR UPDATE SKIP LOCKED
SELECT `a`.`id` FROM `a` WHERE EXISTS(SELECT 1 AS `a` FROM `b` U0 WHERE U0.`a_id` = (`a`.`id`) LIMIT 1)
SELECT CASE WHEN (`a`.`b` = %s) THEN %s ELSE NULL END AS `x`, COALESCE(`a`.`b`, %s) AS `y` FROM `a`
SELECT ROW_NUMBER() OVER (PARTITION BY `a`.`b` ORDER BY `a`.`c`) AS `n` FROM `a`
SELECT LAG(`a`.`b`, 1) OVER (ORDER BY `a`.`c` ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM `a`
SELECT EXTRACT(YEAR FROM CONVERT_TZ(`a`.`d`, 'UTC', 'Europe/Berlin')) AS `y` FROM `a`
SELECT CAST(DATE_FORMAT(CONVERT_TZ(`a`.`d`, 'UTC', 'UTC'), '%%Y-%%m-01') AS DATE) AS `m` FROM `a`
SELECT TIMESTAMPDIFF(MICROSECOND, `a`.`b`, `a`.`c`) AS `d`, (`a`.`d` + INTERVAL 5 DAY) FROM `a`
SELECT CONCAT_WS('', LOWER(`a`.`b`), SUBSTRING(`a`.`c`, 1, 2)) AS `x`, GREATEST(`a`.`d`, %s) FROM `a`
SELECT JSON_EXTRACT(`a`.`j`, '$."x"') AS `x` FROM `a` WHERE JSON_CONTAINS(`a`.`j`, %s)
SELECT JSON_UNQUOTE(JSON_EXTRACT(`a`.`j`, %s)), JSON_TYPE(JSON_EXTRACT(`a`.`j`, %s)) FROM `a`
SELECT GROUP_CONCAT(DISTINCT `a`.`b` ORDER BY `a`.`b` ASC SEPARATOR ',') AS `x` FROM `a` GROUP BY `a`.`c` HAVING COUNT(`a`.`d`) > %s
SELECT `a`.`b`, STDDEV_POP(`a`.`c`), VAR_SAMP(`a`.`c`), BIT_AND(`a`.`d`) FROM `a` GROUP BY `a`.`b`
SELECT MD5(`a`.`b`), SHA2(`a`.`b`, 256), RAND(), PI(), REPEAT(`a`.`b`, 2), REPLACE(`a`.`b`, %s, %s) FROM `a`
SELECT LPAD(`a`.`b`, 5, ' '), CHAR_LENGTH(`a`.`b`), INSTR(`a`.`b`, %s), CHAR(65 USING utf16), ORD(`a`.`b`) FROM `a`
SELECT CURRENT_TIMESTAMP(6), UTC_TIMESTAMP(6), NULLIF(`a`.`b`, %s), IF(`a`.`b`, 1, 0) FROM `a`
SELECT `a`.`b` FROM `a` WHERE `a`.`b` REGEXP BINARY %s OR REGEXP_LIKE(`a`.`b`, %s, 'c')
SELECT `a`.`b` COLLATE `utf8mb4_bin` FROM `a` FORCE INDEX (`a_b`) ORDER BY NULL
(SELECT `a`.`b` AS `col1` FROM `a` LIMIT 5) UNION ALL (SELECT `b`.`c` AS `col1` FROM `b`)
SELECT * FROM (SELECT `a`.`b` FROM `a`) `qualify` WHERE `x` = 1
SELECT ST_AsBinary(`a`.`g`), ST_Distance(`a`.`g`, ST_GeomFromText(%s, 4326)) FROM `a` WHERE MBRContains(`a`.`g`, %s)
EXPLAIN SELECT `a`.`b` FROM `a`
EXPLAIN FORMAT=JSON SELECT `a`.`b` FROM `a`
INSERT INTO `a` (`b`, `c`) VALUES (%s, %s)
INSERT INTO `a` (`b`, `c`) VALUES (%s, %s) RETURNING `a`.`id`
INSERT INTO `a` (`b`) VALUES (%s), (%s) ON DUPLICATE KEY UPDATE `b` = VALUES(`b`)
INSERT INTO `a` (`b`) VALUES (%s) AS new ON DUPLICATE KEY UPDATE `b` = new.`b`
INSERT IGNORE INTO `a` (`b`, `c`) VALUES (%s, %s)
INSERT INTO `a` (`p`) VALUES (ST_GeomFromText(%s, 0))
INSERT INTO `a` () VALUES ()
UPDATE `a` SET `b` = %s, `c` = (`a`.`c` + %s) WHERE `a`.`id` = %s
UPDATE `a` SET `b` = CASE WHEN (`a`.`id` = %s) THEN %s ELSE NULL END WHERE `a`.`id` IN (%s)
DELETE FROM `a` WHERE `a`.`id` IN (%s, %s, %s)
DELETE `a` FROM `a` INNER JOIN `b` ON (`a`.`b_id` = `b`.`id`) WHERE `b`.`c` = %s
SAVEPOINT `s140_x1`
RELEASE SAVEPOINT `s140_x1`
ROLLBACK TO SAVEPOINT `s140_x1`
SHOW FULL TABLES
SHOW CREATE TABLE `a`
CREATE TABLE `a` (`id` integer AUTO_INCREMENT NOT NULL PRIMARY KEY, `b` varchar(50) NOT NULL, `j` json NULL CHECK (JSON_VALID(`j`)))
CREATE INDEX `a_b` ON `a` (`b`, `c` DESC)
CREATE INDEX `a_b` ON `a` ((LOWER(`b`)))
ALTER TABLE `a` ADD COLUMN `b` datetime(6) DEFAULT (CURRENT_TIMESTAMP(6)) NOT NULL
ALTER TABLE `a` ADD CONSTRAINT `a_c` CHECK (`b` > 0)
ALTER TABLE `a` ADD CONSTRAINT `a_fk` FOREIGN KEY (`b_id`) REFERENCES `b` (`id`)
ALTER TABLE `a` MODIFY `b` varchar(20) NULL
DROP TABLE `a` CASCADE
DROP INDEX `a_b` ON `a`
RENAME TABLE `a` TO `b`
TRUNCATE `a`
CREATE DATABASE `test_a` CHARACTER SET utf8mb4
SELECT VERSION(), @@sql_mode, @@default_storage_engine, @@sql_auto_is_null, @@lower_case_table_names, CONVERT_TZ('2001-01-01 01:00:00', 'UTC', 'UTC') IS NOT NULL
SELECT engine FROM information_schema.engines WHERE support IN ('YES', 'DEFAULT')
SELECT `migrations`.`app`, `migrations`.`name` FROM `django_migrations` AS `migrations`
WITH RECURSIVE tree (id) AS (SELECT id FROM a UNION ALL SELECT a.id FROM a JOIN tree ON a.p = tree.id) SELECT * FROM tree
""".strip().splitlines()  # noqa: E501


def leaves_nothing(effect):
    return effect.pins is None and effect.can_be_reset and effect.needs_previous is None


@pytest.mark.parametrize("sql", FROM_DJANGO)
def test_what_django_writes_leaves_nothing_behind(sql):
    assert leaves_nothing(effect_of(sql))


# why it has to stay; the statements
PINS = {
    "set": """
        SET x = 1
        SET NAMES latin1
        SET SESSION sql_mode = ''
        SET STATEMENT max_statement_time = 1 FOR SELECT 1
        /*master*/ SET foreign_key_checks = 0
        /* hello */ SET a = 2
        # hello ¶ SET a = 2
        -- ¶-- Header¶--¶SET foreign_key_checks = 0
        --¶SET a = 1
        ( SET a = 1
    """,
    "user variable": """
        SELECT @a
        SELECT @a := 1
        SELECT 1 INTO @a
        SELECT 1 FROM t WHERE id = @`a`
        INSERT INTO t VALUES (@a)
        LOAD DATA LOCAL INFILE 'f' INTO TABLE t (@a) SET b = @a
    """,
    "lock": """
        SELECT GET_LOCK('a', 1)
        select get_lock ('a', 1)
        SELECT RELEASE_LOCK('a')
        SELECT RELEASE_ALL_LOCKS()
        UPDATE t SET a = GET_LOCK('b', 1)
        LOCK TABLES t WRITE
        UNLOCK TABLES
        LOCK INSTANCE FOR BACKUP
        BACKUP LOCK item
        BACKUP STAGE START
        BACKUP UNLOCK
    """,
    "flush": "FLUSH TABLES WITH READ LOCK",
    "temporary table": """
        CREATE TEMPORARY TABLE t (id INT)
        CREATE OR REPLACE TEMPORARY TABLE t SELECT 1
        DROP TEMPORARY TABLE t
    """,
    "prepared statement": """
        PREPARE p FROM 'SELECT 1'
        EXECUTE p
        EXECUTE IMMEDIATE 'SET @a = 1'
        DEALLOCATE PREPARE p
        DROP PREPARE p
    """,
    "handler": "HANDLER t OPEN",
    "transaction by hand": """
        BEGIN
        START TRANSACTION
        START TRANSACTION READ ONLY
        /*master*/ START TRANSACTION
        COMMIT AND CHAIN
        ROLLBACK AND CHAIN
        COMMIT WORK RELEASE
    """,
    "two-phase transaction": """
        XA START 'a'
        XA COMMIT 'a'
    """,
    "default database": """
        USE information_schema
        /*master*/ USE information_schema
        DROP DATABASE a
        DROP SCHEMA IF EXISTS a
    """,
    "procedure": """
        CALL p()
        DO RELEASE_LOCK('a')
        DO SLEEP(1)
    """,
    "stored function": """
        SELECT f()
        SELECT mine.f(1)
        SELECT `f`(1)
        SELECT `mine`.`f`(1)
        SELECT mine . now()
        SELECT "f"(1)
        INSERT INTO t (a) VALUES (f())
        INSERT INTO t SELECT f()
        DELETE FROM t WHERE f(a)
        CREATE TABLE t AS SELECT f()
        SELECT a FROM t ORDER BY f(a)
        SELECT service_get_write_locks('a', 'b', 1)
    """,
    "found rows": "SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1",
    "last insert id": """
        SELECT LAST_INSERT_ID(5)
        UPDATE t SET id = LAST_INSERT_ID(id + 1)
        INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)
    """,
    "sequence": """
        SELECT NEXTVAL(s)
        SELECT NEXT VALUE FOR s
        INSERT INTO t VALUES (NEXT VALUE FOR s)
        SELECT SETVAL(s, 5)
    """,
    "executable comment": """
        SELECT 1 /*!40000 + 1 */
        SELECT /*M! 1 */ 2
    """,
    "several statements": """
        SELECT 1; SELECT 2
        INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)
    """,
    "compound statement": """
        IF 1 THEN SELECT 1
        CASE 1 WHEN 1 THEN SELECT 1
        LOOP SELECT 1
        WHILE 1 DO SELECT 1
        REPEAT SELECT 1
        FOR i IN 1..2 DO SELECT 1
    """,
    "other statement": """
        HELP 'x'
        SIGNAL SQLSTATE '45000'
        CHANGE MASTER TO x
        SHUTDOWN
        GET DIAGNOSTICS a = NUMBER
    """,
    "unreadable text": """
        SELECT 'abc
        SELECT `abc
        SELECT /* abc
    """,
}  # fmt: skip


def listed(text):
    """The statements of a text, one in each line; ``¶`` is a newline in one of them."""
    return [line.strip().replace("¶", "\n") for line in text.strip().splitlines()]


@pytest.mark.parametrize(
    ("reason", "sql"), [(reason, sql) for reason, text in PINS.items() for sql in listed(text)]
)
def test_what_changes_its_session_pins(reason, sql):
    assert effect_of(sql).pins == reason


@pytest.mark.parametrize("word", [*LEAVES, *STATEFUL])
def test_every_rule_has_a_case(word):
    reason = LEAVES.get(word) or STATEFUL[word]
    assert word in re.findall(r"\w+", PINS[reason].upper())


@pytest.mark.parametrize(
    "sql",
    [
        "/*!40000 SET @a = 3 */",
        "/*M!100000 SET a = 3 */",
        "/*m! SET a = 3 */",
        r"SELECT '\', @a := 1, '",  # under NO_BACKSLASH_ESCAPES
        r"SELECT '\'', @a := 1, '",  # without
        "BEGIN NOT ATOMIC SET @a = 1; END",
        "SELECT 1 INTO @a",
        "",
    ],
)
def test_what_may_be_read_in_two_ways_pins_if_one_of_them_does(sql):
    assert (effect_of(sql).pins is not None) == bool(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'SET @a = 1; GET_LOCK(1)'",
        'SELECT "BEGIN"',
        "SELECT `@a` FROM t",
        "SELECT 'it''s', \"@a\"",
        r"SELECT 'a\\b'",
        "SELECT 1 /* SET @a = 1 */",
        "SELECT 1 -- @a",
        "SELECT 1 # @a",
        "SELECT @@session.sql_mode",
        "INSERT INTO f (a) VALUES (1)",
        "INSERT INTO mine.f (a) VALUES (1)",
        "INSERT INTO `mine`.`f` (`a`) VALUES (1)",
        "REPLACE INTO f (a) VALUES (1)",
        "INSERT f (a) VALUES (1)",
        "WITH f (a) AS (SELECT 1) SELECT * FROM f",
        "COMMIT",
        "ROLLBACK AND NO CHAIN",
        "SELECT 1;",
        "CREATE TABLE t (a INT, b INT AS (f(a)))",
        "CREATE PROCEDURE p() SELECT f()",
        "VALUES (1), (2)",
        "TABLE t",
    ],
)
def test_what_only_looks_like_it_does_not_pin(sql):
    assert effect_of(sql).pins is None


@pytest.mark.parametrize(
    ("sql", "needs"),
    [
        ("SELECT LAST_INSERT_ID()", True),
        ("SELECT last_insert_id ( )", True),
        ("INSERT INTO t VALUES (LAST_INSERT_ID())", True),
        ("SELECT FOUND_ROWS()", True),
        ("SELECT ROW_COUNT()", True),
        ("SELECT LASTVAL(s)", True),
        ("SELECT PREVIOUS VALUE FOR s", True),
        ("SELECT @@identity", True),
        ("SELECT @@last_insert_id", True),
        ("SELECT @@SESSION.last_insert_id", True),
        ("SELECT @@last_gtid", True),
        ("SELECT @@warning_count", True),
        ("SHOW WARNINGS", True),
        ("SHOW COUNT(*) ERRORS", True),
        ("SHOW PROFILES", True),
        ("GET DIAGNOSTICS @a = NUMBER", True),
        ("SET @a = LAST_INSERT_ID()", True),
        ("DO LAST_INSERT_ID()", True),
        (r"SELECT 'a\', LAST_INSERT_ID(), '", True),
        ("SELECT LAST_INSERT_ID(5)", False),
        ("SELECT 'LAST_INSERT_ID()'", False),
        ("SELECT 1 /* LAST_INSERT_ID() */", False),
        ("SHOW TABLES", False),
        ("INSERT INTO t VALUES (1); SELECT LAST_INSERT_ID()", False),
        (
            "CREATE PROCEDURE p() BEGIN INSERT INTO t VALUES (1); SELECT LAST_INSERT_ID(); END",
            False,
        ),
        ("CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW SET @n = ROW_COUNT()", False),
        ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT LAST_INSERT_ID()", False),
        ("BEGIN NOT ATOMIC INSERT INTO t VALUES (1); SELECT ROW_COUNT(); END", False),
        ("ALTER TABLE t COMMENT 'LAST_INSERT_ID()'", False),
        ("SELECT `last_insert_id` FROM t", False),
    ],
)
def test_who_asks_for_the_statement_before_is_seen(sql, needs):
    assert (effect_of(sql).needs_previous is not None) is needs


@pytest.mark.parametrize(
    ("sql", "can"),
    [
        ("SET @a = 1", True),
        ("SET SESSION sql_mode = ''", True),
        ("LOCK TABLES t WRITE", True),
        ("CREATE TEMPORARY TABLE t (id INT)", True),
        ("SET ROLE boss", False),
        ("SET ROLE NONE", False),
        ("SET profiling = 1", False),
        ("SET @@profiling = 1", False),
        ("SET SESSION optimizer_trace = 'enabled=on'", False),
        ("SET RESOURCE GROUP g", False),
        ("XA START 'a'", False),
        ("SELECT 1; SET ROLE boss", False),
        ("/*!40000 SET ROLE boss */", False),
        ("SET @a = 'ROLE'", True),
    ],
)
def test_what_a_reset_does_not_undo_is_known(sql, can):
    effect = effect_of(sql)
    assert effect.pins
    assert effect.can_be_reset is can


def test_the_rule_of_a_project_adds_to_the_others():
    mine = re.compile("hello|LAST_INSERT_ID|SET ROLE|COMMIT", re.IGNORECASE)
    assert effect_of("SELECT 'hello'", mine).pins == "project rule"
    assert effect_of("SELECT 'hello'").pins is None
    assert effect_of("SELECT LAST_INSERT_ID()", mine).needs_previous is not None
    assert effect_of("SET ROLE boss", mine).can_be_reset is False
    assert effect_of("SET @a = 1", mine).pins == "set"


@pytest.mark.parametrize("rows", [10, 5_000])
def test_a_bulk_insert_does_not_pin_and_is_cheap(rows):
    sql = (
        "INSERT INTO `a` (`b`, `c`, `d`) VALUES " + ", ".join(["(%s, %s, DEFAULT)"] * rows) + " "
        "ON DUPLICATE KEY UPDATE `b` = VALUES(`b`)"
    )
    begun = time.process_time()
    assert leaves_nothing(effect_of(sql))
    assert effect_of(sql[:-5] + "(@a)").pins
    assert time.process_time() - begun < 5


#: Functions of MariaDB that are not in NATIVE, so that calling one holds the connection.
HELD_ON_PURPOSE = {
    **dict.fromkeys(
        "CONCAT_OPERATOR_ORACLE DECODE_ORACLE LPAD_ORACLE LTRIM_ORACLE REPLACE_ORACLE RPAD_ORACLE "
        "RTRIM_ORACLE SUBSTR_ORACLE TRIM_ORACLE".split(),
        "what sql_mode=ORACLE makes of the plain name; nobody writes them",
    ),
    **dict.fromkeys(
        "BINLOG_GTID_POS MASTER_GTID_WAIT WSREP_LAST_SEEN_GTID WSREP_LAST_WRITTEN_GTID "
        "WSREP_SYNC_WAIT_UPTO_GTID DECODE_HISTOGRAM".split(),
        "for administrators and replicas; the WSREP ones look at the session's own transactions",
    ),
    **dict.fromkeys(
        "ADD_MONTHS OLD_PASSWORD SYS_GUID".split(), "a name that a project may well have given"
    ),
}


@pytest.mark.server
def test_every_function_that_the_server_ships_is_known(server):
    if server.programs.flavour != "mariadb":
        pytest.skip("MySQL has no table of its functions")
    shipped = {name for (name,) in server.sql("SELECT * FROM information_schema.SQL_FUNCTIONS")}
    assert len(shipped) > 200
    known = NATIVE | STATEFUL.keys() | PREVIOUS.keys() | HELD_ON_PURPOSE.keys()
    assert sorted(name for name in shipped if name.upper() not in known) == []
