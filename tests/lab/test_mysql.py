"""One host with everything on it, real MySQL from Debian sid, and another worker class."""

import re

import pytest
from deployment import HOST, Deployment
from traffic import Traffic, ready

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

# Debian's stable releases have no MySQL: the server is sid's, all else the host's release.
FROM_SID = r"""
cd /etc/apt
sed -n 's/^deb \(\S*\) trixie main$/deb \1 sid main/p' sources.list > sources.list.d/sid.list
printf 'Package: *\nPin: release n=sid\nPin-Priority: 100\n' > preferences.d/sid
apt-get update -q
"""


@pytest.fixture(scope="module")
def host(lab):
    host = lab.up("my1")["my1"]
    host.ssh(FROM_SID)
    return host


@pytest.fixture(scope="module")
def shop(lab, host):
    groups = {"database": [host], "application": [host], "nginx": [host]}
    shop = Deployment(lab.folder / "mysql", lab, groups, db_server="mysql", worker_class="gthread")
    main = shop.inventory / "group_vars/all/main.yml"
    main.write_text(main.read_text() + "database_default_release: sid\n")
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
