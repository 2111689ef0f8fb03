"""mysql_pool against a real server, in every way in which it can be run."""

from importlib.util import find_spec

import pytest

from packages.mysql_pool.tests.variants import FULL, QUICK, Variant, behaviour


@pytest.mark.server
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("concurrency", "driver", "release"),
    [
        *(pytest.param(*variant, marks=pytest.mark.first) for variant in QUICK),
        *(pytest.param(*variant, marks=pytest.mark.full) for variant in FULL),
    ],
)
def test_the_pool_behaves(concurrency, driver, release):
    if driver == "mysqlclient" and find_spec("MySQLdb") is None:
        pytest.fail("mysqlclient is not installed: `make test` installs it (bootstrap.sh)")
    session = behaviour(Variant(concurrency, driver, release))
    assert session.returncode == 0, session.stdout
    print(session.stdout.splitlines()[-1])
