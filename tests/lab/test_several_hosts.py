"""A database host, two application hosts and nginx in front, each a machine of its own; then a
third application host.
"""

import pytest

from tests.lab.deployment import HOST, NAME, Deployment
from tests.lab.traffic import Traffic, ready, wait_ready

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def machines(lab):
    return lab.up("web1", "app1", "app2", "db1")


@pytest.fixture(scope="module")
def shop(lab, machines):
    """The project, deployed from nothing."""
    groups = {
        "database": [machines["db1"]],
        "application": [machines["app1"], machines["app2"]],
        "nginx": [machines["web1"]],
    }
    shop = Deployment(lab.folder / "several", lab, groups)
    shop.first = shop.deploy().check()
    return shop


def sql(machines, statement):
    return machines["db1"].ssh(f'mariadb -Nse "{statement}"').strip()


def serving(machines):
    """The hosts nginx sends requests to."""
    names = machines["web1"].ssh(f"grep -L ' down;' /etc/nginx/{NAME}-servers/*.conf || true")
    return {path.rpartition("/")[2].removesuffix(".conf") for path in names.split()}


def test_first_deploy_serves_from_both_hosts(shop, machines):
    assert ready(shop.address, HOST)
    assert serving(machines) == {"app1", "app2"}
    peak = ("app1", "application", "peak connections, all hosts")
    assert shop.first.table[peak] == ("138", "138")
    print(f"first deploy of four hosts: {shop.first.seconds:.0f} s")


def test_second_run_changes_nothing(shop):
    again = shop.deploy().check()
    assert again.number("changed") == 0
    print(f"unchanged deploy of four hosts: {again.seconds:.0f} s")


def test_application_talks_to_the_database_in_tls_and_only_so(shop, machines):
    everyone = "SELECT user, host, ssl_type FROM mysql.user WHERE max_user_connections = 140"
    user, host, tls = sql(machines, everyone).split()
    assert (user, tls) == (NAME, "ANY")
    assert host.startswith("10.77.0.")
    settings = machines["app1"].ssh(f"cat /etc/{NAME}/environment")
    assert f'DB_SSL_CA="/etc/{NAME}/database-authority.pem"' in settings


def test_certificate_is_renewed_without_a_restart(shop):
    shop.renew_certificate_under_load("mariadb")


def test_new_release_under_load_loses_no_request_and_keeps_the_bound(shop, machines):
    shop.replace("templates/shop/product_list.html", "</h1>", " (second)</h1>")
    release = shop.commit("Second release")
    sql(machines, "FLUSH GLOBAL STATUS")
    with Traffic(shop.address, HOST) as traffic:
        traffic.wait_for(20)
        run = shop.deploy().check()
        traffic.wait_for(20)
    most = int(sql(machines, "SHOW STATUS LIKE 'Max_used_connections'").split()[1]) - 1
    print(f"deploy under load: {run.seconds:.0f} s, most connections {most}, {traffic}")
    assert traffic.failures == []
    assert most <= 138
    assert {shop.current(machines[name]) for name in ("app1", "app2")} == {release}
    assert serving(machines) == {"app1", "app2"}


def test_broken_release_stops_at_the_first_host(shop, machines):
    old = shop.current(machines["app1"])
    shop.replace("config/urls.py", "urlpatterns =", "import no_such_module\n\nurlpatterns =")
    shop.commit("A release that does not start")
    try:
        with Traffic(shop.address, HOST) as traffic:
            message = shop.deploy().refused()
            traffic.wait_for(20)
    finally:
        shop.git("revert", "--no-edit", "HEAD")
    assert f"Release {old} goes on serving" in message
    assert traffic.failures == []
    assert {shop.current(machines[name]) for name in ("app1", "app2")} == {old}
    assert serving(machines) == {"app1", "app2"}


def test_host_that_is_only_in_the_inventory_is_found(shop, machines, lab):
    machines["app3"] = lab.up("app3")["app3"]
    shop.hosts["application"].append(machines["app3"])
    shop.write_hosts()
    message = shop.make("check-limits").refused()
    assert "app3, application: service is inactive, planned is active" in message
    assert "peak connections, all hosts is 138, planned is 136" in message


def test_adding_a_host_is_one_line_of_the_inventory(shop, machines):
    with Traffic(shop.address, HOST) as traffic:
        run = shop.deploy().check()
        traffic.wait_for(20)
    assert traffic.failures == []
    assert serving(machines) == {"app1", "app2", "app3"}
    assert run.table["app1", "application", "pool size of a worker"] == ("17", "17")


def test_host_that_does_not_fit_is_refused_before_anything_is_changed(shop, machines):
    message = shop.deploy("""-e '{"plan_numbers": {"workers": 60}}'""").refused()
    assert "B020" in message
    assert "changed=0" in message
    assert serving(machines) == {"app1", "app2", "app3"}


def test_removing_a_host_takes_it_out_of_rotation(shop, machines):
    shop.hosts["application"].remove(machines["app3"])
    shop.write_hosts()
    shop.deploy().check()
    assert serving(machines) == {"app1", "app2"}


def test_run_that_is_killed_in_the_roll_out_is_simply_started_again(shop, machines):
    shop.replace("templates/shop/product_list.html", "</h1>", " (third)</h1>")
    release = shop.commit("Third release")
    with Traffic(shop.address, HOST) as traffic:
        shop.start_and_kill("Wait for the requests that are under way")
        shop.deploy().check()
        traffic.wait_for(20)
    assert traffic.failures == []
    assert {shop.current(machines[name]) for name in ("app1", "app2")} == {release}
    assert serving(machines) == {"app1", "app2"}


@pytest.mark.parametrize("name", ["app1", "db1", "web1"])
def test_each_host_comes_back_by_itself_after_a_power_loss(shop, machines, name):
    machines[name].kill()
    machines[name].start()
    machines[name].ssh("systemctl is-system-running --wait", check=False)
    print(f"{name}: ready {wait_ready(shop.address, HOST):.0f} s after the power came back")
    shop.make("check-limits").check()
