"""Every entry of the tables in `mysql_pool.rules` has its effect, however the statement is written.

A filter in front of the rules, a cache, or a list of harmless names that hides an entry fails here:
the statements are made from the tables, so that a new entry is tested without a new test.
"""

import pytest

from mysql_pool import rules
from mysql_pool.functions import NATIVE
from mysql_pool.rules import effect_of

#: The same statement as a program may write it. Texts of 4096 characters and more are not cached.
WRITTEN = {
    "plainly": "{}",
    "in small letters": None,
    "behind white space": "\n\t  {}",
    "behind comments": "/* a */ -- b\n# c\n{}",
    "with a comment behind": "{} -- d",
    "as a long text": "/*" + "x" * 5000 + "*/ {}",
}


def written(sql, how):
    return sql.lower() if WRITTEN[how] is None else WRITTEN[how].format(sql)


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize(("verb", "reason"), rules.LEAVES.items())
def test_a_verb_that_leaves_something_pins(verb, reason, how):
    assert effect_of(written(f"{verb} A", how)).pins == reason


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize(("name", "reason"), rules.STATEFUL.items())
@pytest.mark.parametrize(
    "sql", ["SELECT {}('A', 1)", "UPDATE T SET A = {}(1)", "VALUES ROW({}(1))"]
)
def test_a_function_that_leaves_something_pins(name, reason, sql, how):
    assert effect_of(written(sql.format(name), how)).pins == reason


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize(("word", "reason"), rules.SETS.items())
def test_a_setting_that_no_reset_undoes_pins_and_closes(word, reason, how):
    effect = effect_of(written(f"SET {word} = A", how))
    assert effect.pins
    assert effect.can_be_reset is (reason not in rules.NOT_RESET)


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize(("name", "kind"), rules.PREVIOUS.items())
def test_a_function_that_asks_for_the_statement_before_is_known(name, kind, how):
    assert effect_of(written(f"SELECT {name}()", how)).needs_previous == kind


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize(("name", "kind"), rules.PREVIOUS_VARIABLES.items())
def test_a_variable_that_tells_of_the_statement_before_is_known(name, kind, how):
    assert effect_of(written(f"SELECT {name}", how)).needs_previous == kind


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("verb", sorted(rules.INSERTS))
def test_a_verb_that_may_make_an_id_is_known(verb, how):
    assert effect_of(written(f"{verb} A", how)).does == rules.INSERTED


def test_no_verb_has_two_meanings():
    of_tables = [set(rules.LEAVES), rules.DATA, rules.SHARED, rules.TRANSACTION]
    every = [verb for table in of_tables for verb in table]
    assert len(every) == len(set(every))


def test_a_function_that_is_in_no_table_pins():
    assert "MY_OWN" not in NATIVE
    assert effect_of("SELECT my_own(1)").pins == "stored function"
