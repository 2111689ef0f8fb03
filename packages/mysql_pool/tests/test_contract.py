"""The fake and every driver keep `mysql_pool.drivers.contract`."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from mysql_pool import drivers
from mysql_pool.drivers.contract import Driver, PhysicalConnection
from packages.mysql_pool.tests import fake


def members(protocol):
    """What a class that keeps the protocol has to have."""
    names = {*vars(protocol), *protocol.__annotations__}
    return sorted(name for name in names if not name.startswith("_") or name == "__init__")


def names_of(protocol):
    return [name for name in members(protocol) if name != "__init__"]


def test_the_fake_keeps_the_contract():
    assert len(names_of(PhysicalConnection)) > 20
    assert [n for n in names_of(PhysicalConnection) if not hasattr(fake.Connection, n)] == []
    assert [n for n in names_of(Driver) if not hasattr(fake.Driver, n)] == []


@pytest.mark.parametrize("name", drivers.NAMES)
def test_the_drivers_keep_the_contract(name):
    # In a process of its own: there is one MySQLdb in each.
    if name == "mysqlclient" and find_spec("MySQLdb") is None:
        pytest.fail("mysqlclient is not installed: `make test` installs it (bootstrap.sh)")
    program = f"""
from mysql_pool import drivers
driver = drivers.load({name!r})
print([n for n in {names_of(Driver)!r} if not hasattr(driver, n)])
print([n for n in {names_of(PhysicalConnection)!r} if not hasattr(driver.Connection, n)])
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["[]", "[]"]
