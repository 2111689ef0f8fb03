"""What pools tell of themselves, as bytes. Without files."""

from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st

from mysql_pool.ledger import record as records
from mysql_pool.ledger.record import NAME, SIZE, Record, read, write

numbers = st.integers(0, 2**64 - 1)
seconds = st.floats(min_value=0, max_value=1e12)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
kinds = {int: numbers, float: seconds, str: words}
any_record = st.builds(Record, **{field.name: kinds[field.type] for field in fields(Record)})


@given(any_record)
def test_what_is_written_can_be_read(record):
    assert len(write(record)) == SIZE
    if any(getattr(record, field.name) for field in fields(Record)):
        assert read(write(record)) == record


@given(any_record, any_record)
@settings(max_examples=20, deadline=None)
def test_a_half_written_one_is_none_or_one_of_the_two(old, new):
    before, after = write(old), write(new)
    for length in range(SIZE + 1):
        assert read(after[:length] + before[length:]) in (None, old, new)


@given(st.binary(min_size=SIZE, max_size=SIZE))
def test_nonsense_is_no_record(data):
    assert read(data) is None


def test_nothing_is_no_record():
    assert read(bytes(SIZE)) is None


def test_names_that_are_too_long_are_cut():
    found = read(write(Record(pid=1, role="ü" * 40, alias="a" * 40)))
    assert found.alias == "a" * NAME
    assert found.role.startswith("ü" * (NAME // 2))


@given(any_record, any_record)
def test_counters_are_added_up_and_gauges_are_not(one, two):
    total = two.added_to(one)
    for field in fields(Record):
        mine, his, sum_ = (getattr(each, field.name) for each in (one, two, total))
        if field.name in records.COUNTERS:
            assert sum_ == mine + his
        elif field.name in ("role", "alias"):
            assert sum_ == his
        else:
            assert sum_ == 0
