"""One host with everything on it gets a second application host, and stays alone again: what it
listens on, where the application logs in from and whether in TLS, all of it changes.
"""

import pytest

from tests.lab.deployment import HOST, NAME, Deployment
from tests.lab.traffic import Traffic, ready

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def machines(lab):
    return lab.up("grow1", "grow2")


@pytest.fixture(scope="module")
def shop(lab, machines):
    """The project, on the first host alone."""
    everything = {group: [machines["grow1"]] for group in ("database", "application", "nginx")}
    shop = Deployment(lab.folder / "growing", lab, everything)
    shop.deploy().check()
    return shop


def accounts(machines):
    """Where the application's account may log in from."""
    statement = f"SELECT host FROM mysql.user WHERE user = '{NAME}'"
    return machines["grow1"].ssh(f'mariadb -Nse "{statement}"').split()


def test_second_host_is_one_line_of_the_inventory(shop, machines):
    shop.hosts["application"].append(machines["grow2"])
    shop.write_hosts()
    with Traffic(shop.address, HOST) as traffic:
        run = shop.deploy().check()
        traffic.wait_for(20)
    # The database server opens an address more, which it does at a restart; nothing else is lost.
    assert "Restart the server for bind_address" in run.output
    assert {path for path, _, _ in traffic.failures} <= {"/", "/api/products/", "/readyz"}
    print(f"second application host: {traffic}")
    (account,) = accounts(machines)
    assert account.startswith("10.77.0.")
    assert shop.deploy().check().number("changed") == 0


def test_run_without_the_database_keeps_its_certificate(shop, machines):
    run = shop.deploy("--tags application,verify").check()
    assert run.number("changed") == 0
    assert "DB_SSL_CA" in machines["grow2"].ssh(f"cat /etc/{NAME}/environment")


def test_host_that_stays_alone_again_serves(shop, machines):
    shop.hosts["application"].remove(machines["grow2"])
    shop.write_hosts()
    database = machines["grow1"].ssh("systemctl show -P MainPID mariadb")
    with Traffic(shop.address, HOST) as traffic:
        traffic.wait_for(20)
        shop.deploy().check()
        traffic.wait_for(20)
    # Gunicorn's socket moves to 127.0.0.1 and is closed for seconds; nothing else is lost.
    assert {status for _, status, _ in traffic.failures} <= {502}
    print(f"alone again: {traffic}")
    assert ready(shop.address, HOST)
    assert accounts(machines) == ["localhost"]
    assert machines["grow1"].ssh("systemctl show -P MainPID mariadb") == database
    assert shop.deploy().check().number("changed") == 0
