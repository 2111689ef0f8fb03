"""mysql_pool against a real server, in every way in which it can be run."""

from collections import Counter
from importlib.util import find_spec

import pytest

from packages.mysql_pool.tests.variants import FULL, QUICK, Variant, behaviour


@pytest.mark.server
@pytest.mark.timeout(1800)  # each test in the session has a limit of its own
@pytest.mark.parametrize(
    ("concurrency", "driver", "release"),
    [
        *(pytest.param(*variant, marks=pytest.mark.first) for variant in QUICK),
        *(pytest.param(*variant, marks=pytest.mark.full) for variant in FULL),
    ],
)
def test_the_pool_behaves(concurrency, driver, release, subtests, record_property):
    if driver == "mysqlclient" and find_spec("MySQLdb") is None:
        pytest.fail("mysqlclient is not installed: `make test` installs it (bootstrap.sh)")
    outcomes, reasons = Counter(), Counter()
    with behaviour(Variant(concurrency, driver, release)) as session:
        for case in session.cases():
            outcomes[case.outcome] += 1
            if case.outcome == "skipped":
                reasons[case.text] += 1
            with subtests.test(case.name):
                if case.outcome == "failed":
                    pytest.fail(case.text, pytrace=False)
    # conftest.py at the root shows them: of subtests pytest shows only those that failed.
    record_property("cases", dict(outcomes))
    record_property("skipped cases", dict(reasons))
    assert outcomes["passed"]
