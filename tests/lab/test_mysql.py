"""Real MySQL from Debian sid: one host with everything on it, and another worker class; then a
database host of its own, which is reached in TLS only.
"""

import re

import pytest

from tests.lab.deployment import HOST, NAME, Deployment
from tests.lab.traffic import Traffic, ready, wait_ready

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

# Debian's stable releases have no MySQL: the server is sid's, all else the host's release.
FROM_SID = r"""
cd /etc/apt
sed -n 's/^deb \(\S*\) trixie main$/deb \1 sid main/p' sources.list > sources.list.d/sid.list
printf 'Package: *\nPin: release n=sid\nPin-Priority: 100\n' > preferences.d/sid
apt-get update -q
"""


def add_sid(host):
    """Have apt know where MySQL comes from."""
    host.ssh(FROM_SID)
    return host


def use_mysql(shop):
    """Tell the inventory, which is staging's."""
    main = shop.inventory / "group_vars/all/main.yml"
    main.write_text(main.read_text() + "database_default_release: sid\n")


@pytest.fixture(scope="module")
def host(lab):
    return add_sid(lab.up("my1")["my1"])


@pytest.fixture(scope="module")
def shop(lab, host):
    groups = {"database": [host], "application": [host], "nginx": [host]}
    shop = Deployment(lab.folder / "mysql", lab, groups, db_server="mysql", worker_class="gthread")
    use_mysql(shop)
    shop.first = shop.deploy().check()
    return shop


def test_first_deploy_serves_from_mysql(shop, host):
    assert ready(host.address, HOST)
    version = host.ssh("mysql -Nse 'SELECT @@version'").strip()
    assert re.match(r"(8|9)\.", version)
    assert "MariaDB" not in version
    print(f"first deploy with MySQL {version}: {shop.first.seconds:.0f} s")


def test_second_run_changes_nothing(shop):
    assert shop.deploy().check().number("changed") == 0


def test_changed_password_is_noticed(shop, host):
    host.ssh("""mysql -e "ALTER USER my_shop@localhost IDENTIFIED BY 'another one, by hand'" """)
    assert shop.make("check-limits").refused().count("ALTER USER")
    assert shop.deploy().check().number("changed") == 1
    shop.make("check-limits").check()


def test_new_release_under_load_loses_no_request(shop, host):
    shop.replace("templates/shop/product_list.html", "</h1>", " (second)</h1>")
    release = shop.commit("Second release")
    with Traffic(host.address, HOST) as traffic:
        shop.deploy().check()
        traffic.wait_for(20)
    assert traffic.failures == []
    assert shop.current(host) == release


@pytest.fixture(scope="module")
def apart(lab):
    """The project on two hosts, of which one is the database's."""
    machines = lab.up("mydb", "myapp")
    groups = {
        "database": [add_sid(machines["mydb"])],
        "application": [machines["myapp"]],
        "nginx": [machines["myapp"]],
    }
    apart = Deployment(lab.folder / "mysql-apart", lab, groups, db_server="mysql")
    use_mysql(apart)
    apart.deploy().check()
    return apart


def test_mysql_on_a_host_of_its_own_is_reached_in_tls_and_only_so(apart):
    assert ready(apart.address, HOST)
    (database,) = apart.hosts["database"]
    sessions = (
        "SELECT COUNT(*), SUM(s.variable_value = '')"
        " FROM performance_schema.threads t"
        " JOIN performance_schema.status_by_thread s USING (thread_id)"
        f" WHERE t.processlist_user = '{NAME}' AND s.variable_name = 'Ssl_cipher'"
    )
    number, plain = map(int, database.ssh(f'mysql -Nse "{sessions}"').split())
    assert number > 0
    assert plain == 0
    account = f"SELECT ssl_type FROM mysql.user WHERE user = '{NAME}'"
    assert database.ssh(f'mysql -Nse "{account}"').strip() == "ANY"
    assert apart.deploy().check().number("changed") == 0


def test_certificate_of_mysql_is_renewed_without_a_restart(apart):
    apart.renew_certificate_under_load("mysql")


def test_power_loss_of_the_database_is_nothing_to_mend(apart):
    (database,) = apart.hosts["database"]
    database.kill()
    database.start()
    print(f"MySQL apart: ready {wait_ready(apart.address, HOST):.0f} s after the power came back")
    apart.make("check-limits").check()
