"""The text of a statement, cut into tokens: what is a literal, a comment, a name."""

import time

import pytest

from mysql_pool.scanner import EXECUTABLE, UNREADABLE, readings, split, tokens

# a text; its tokens, with a space between two
CUT = {
    "words are in capitals": ("select a_1 from Item", "SELECT A_1 FROM ITEM"),
    "a number is a word": ("SELECT 1", "SELECT 1"),
    "a literal is a quote": ("SELECT 'SET x', \"BEGIN\"", "SELECT ' , '"),
    "a doubled quote does not end it": ("SELECT 'it''s SET', 1", "SELECT ' , 1"),
    "a double quote in a literal is no end": ("SELECT 'a\"b', 1", "SELECT ' , 1"),
    "a semicolon in a literal is a part of it": ("SELECT ';'", "SELECT '"),
    "a comment in a literal is a part of it": ("SELECT '/* -- #'", "SELECT '"),
    "a newline in a literal is a part of it": ("SELECT 'a\nSET b'", "SELECT '"),
    "a backslash escapes": (r"SELECT 'a\' SET', 1", "SELECT ' , 1"),
    "a backslash escapes itself": (r"SELECT 'a\\', 1", "SELECT ' , 1"),
    "a placeholder is a literal": ("SELECT %s", "SELECT '"),
    "a named placeholder too": ("SELECT %(a b)s", "SELECT '"),
    "a per cent sign is none": ("SELECT 5 % 2", "SELECT 5 % 2"),
    "a name in backticks keeps them": ("SELECT `set`", "SELECT `set`"),
    "a backtick in a name is doubled": ("SELECT `a``b` c", "SELECT `a``b` C"),
    "a quote in a name is a part of it": ("SELECT `it's` c", "SELECT `it's` C"),
    "a user variable has no name": (
        "SELECT @a, @`b c`, @'d', @\"e\", @f.g$",
        "SELECT @ , @ , @ , @ , @",
    ),
    "a system variable has no scope": (
        "SELECT @@session.sql_mode, @@GLOBAL . x, @@identity, @@`autocommit`",
        "SELECT @@SQL_MODE , @@X , @@IDENTITY , @@AUTOCOMMIT",
    ),
    "a system variable may be structured": ("SELECT @@hot.key_size", "SELECT @@HOT.KEY_SIZE"),
    "an operator is its characters": ("a:=b<>c", "A : = B < > C"),
    "a comment is nothing": ("SELECT/* SET */1", "SELECT 1"),
    "a comment has no end in a literal": ("/* '*/ SET a", "SET A"),
    "a comment that begins with m is nothing": ("/*master*/ SET a", "SET A"),
    "a comment that begins with M is nothing": ("/*Master*/ SET a", "SET A"),
    "an empty comment is nothing": ("/**/ SET a", "SET A"),
    "an optimizer hint is nothing": ("SELECT /*+ BKA(t) */ 1", "SELECT 1"),
    "comments do not nest": ("/* /* */ SET a", "SET A"),
    "dashes with a space": ("-- SET b\nSELECT 1", "SELECT 1"),
    "dashes with a tab": ("--\tSET b\nSELECT 1", "SELECT 1"),
    "dashes with a newline": ("--\n-- Header\n--\nSET a", "SET A"),
    "dashes at the end": ("SELECT 1 --", "SELECT 1"),
    "dashes without a space are two minus signs": ("SELECT 5--1", "SELECT 5 - - 1"),
    "a number sign": ("# SET b\nSELECT 1#2", "SELECT 1"),
    "an executable comment": ("/*!40000 SET a */", f"{EXECUTABLE} SET A"),
    "an executable comment without a version": ("/*! SET a */", f"{EXECUTABLE} SET A"),
    "MariaDB's executable comment": ("/*M!100100 SET a */", f"{EXECUTABLE} SET A"),
    "MariaDB's executable comment, small": ("/*m! SET a */ b", f"{EXECUTABLE} SET A B"),
    "a literal in an executable comment": ("/*! SET a='*/' */ b", f"{EXECUTABLE} SET A = ' B"),
    "a literal without an end": ("SELECT 1, 'abc", f"SELECT 1 , {UNREADABLE}"),
    "a name without an end": ("SELECT `abc", f"SELECT {UNREADABLE}"),
    "a comment without an end": ("SELECT 1 /* abc", f"SELECT 1 {UNREADABLE}"),
    "nothing": (" \n\t", ""),
}


@pytest.mark.parametrize("kind", CUT)
def test_a_text_is_cut_into_tokens(kind):
    text, expected = CUT[kind]
    assert tokens(text) == expected.split()


def test_without_backslash_escapes_a_literal_ends_at_its_quote():
    assert tokens(r"SELECT 'a\', b", backslash=False) == ["SELECT", "'", ",", "B"]
    assert tokens(r"SELECT 'a\'", backslash=True) == ["SELECT", UNREADABLE]
    assert tokens(r"SELECT 'a\'", backslash=False) == ["SELECT", "'"]


def test_a_text_with_a_backslash_has_two_readings():
    hidden = r"SELECT '\', SET a = '"
    first, second = readings(hidden)
    assert first == ["SELECT", "'"]
    assert second[:4] == ["SELECT", "'", ",", "SET"]
    assert len(readings("SELECT 'a', SET")) == 1


def test_every_character_is_read_by_both_readings():
    for code in range(1, 256):
        for backslash in (True, False):
            tokens(f"SELECT {chr(code)}", backslash)


@pytest.mark.parametrize("row", ["(%s, %s, %s)", "( %s )", "(DEFAULT, %s)"])
def test_thousands_of_placeholders_are_cheap(row):
    text = "INSERT INTO `item` (`a`) VALUES " + ", ".join([row] * 20_000)
    begun = time.process_time()
    assert tokens(text)[:3] == ["INSERT", "INTO", "`item`"]
    # 0.01 to 0.1 s here; what grows with the square of the length would take minutes.
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "text", ["'" * 20_001, "/*" * 20_000, "(%s," * 20_000, "(" * 20_000 + "%s", "\\" * 40_001]
)
def test_no_text_takes_for_ever(text):
    begun = time.process_time()
    readings(text)
    assert time.process_time() - begun < 5


def test_rows_of_placeholders_are_one_token():
    assert tokens("VALUES (%s, %s), (%s, %s)") == ["VALUES", "(", "'", ")"]
    assert tokens("VALUES (%s), (a)") == ["VALUES", "(", "'", ")", "(", "A", ")"]


def test_a_text_is_split_at_its_semicolons():
    assert split("SET a = ';'; /* ; */ SET b = 1;; -- ;\nSET c") == [
        "SET a = ';'",
        "/* ; */ SET b = 1",
        "-- ;\nSET c",
    ]
    assert split("SET a") == ["SET a"]
    assert split(" ; ") == []
