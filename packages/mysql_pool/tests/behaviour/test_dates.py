"""Dates come out of the pool as they come out of the driver, only sooner."""

import datetime

import pytest
from django.db import connection
from django.db.backends.mysql.base import conversions

from mysql_pool.drivers.dates import DATE, DATETIME, TIMESTAMP
from packages.mysql_pool.tests.behaviour.scene import run

MOMENTS = [
    "0000-00-00 00:00:00",
    "2026-00-10 01:02:03",
    "2026-11-26 00:00:00",
    "1970-01-02 23:59:59.9",
    "2026-11-26 12:34:56.123456",
    "9999-12-31 23:59:59",
]


@pytest.fixture
def moments():
    """A table with `MOMENTS` in a DATE, and in a DATETIME of each precision that there is."""
    columns = [f"moment{digits} DATETIME({digits})" for digits in range(7)]
    run("DROP TABLE IF EXISTS moments")
    run(f"CREATE TABLE moments (day DATE, {', '.join(columns)})")
    for moment in (*MOMENTS, None):
        values = [moment and moment.split()[0], *[moment] * 7]
        run(f"INSERT IGNORE INTO moments VALUES ({', '.join(['%s'] * 8)})", values)
    yield ["day", *[f"moment{digits}" for digits in range(7)]]
    run("DROP TABLE moments")


def test_dates_are_what_the_driver_makes_of_them(moments):
    seen = set()
    for column in moments:
        own = conversions[DATE if column == "day" else DATETIME]
        for value, text in run(f"SELECT {column}, CONCAT({column}) FROM moments"):
            expected = None if text is None else own(text)
            assert (type(value), value) == (type(expected), expected)
            seen.add(type(value))
    assert {datetime.date, datetime.datetime} < seen


@pytest.mark.parametrize("kind", [TIMESTAMP, DATE, DATETIME])
def test_converters_in_options_stay(use, kind):
    def own(text):
        return f"own {text}"

    use(conv={**conversions, kind: own})
    assert connection.get_connection_params()["conv"][kind] is own
    if kind == DATE:
        assert run("SELECT DATE '2026-11-26', 1") == (("own 2026-11-26", 1),)


def test_they_are_read_in_c():
    converters = connection.get_connection_params()["conv"]
    for kind in (TIMESTAMP, DATE, DATETIME):
        assert converters[kind] is not conversions[kind]
        assert converters[kind]("2026-11-26").year == 2026
