"""One host with everything on it, MariaDB, from nothing; then its life: releases, reloads, faults,
drift.
"""

import re
import socket
import ssl

import pytest

from tests.lab.deployment import HOST, NAME, Deployment
from tests.lab.traffic import Traffic, get, ready, wait_ready

pytestmark = pytest.mark.timeout(900)
SECURITY_LIMIT = 2.5


@pytest.fixture(scope="module")
def host(lab):
    return lab.up("all1")["all1"]


@pytest.fixture(scope="module")
def shop(lab, host):
    """The project, deployed from nothing."""
    groups = {"database": [host], "application": [host], "nginx": [host]}
    shop = Deployment(lab.folder / "one", lab, groups)
    shop.first = shop.deploy().check()
    return shop


@pytest.fixture(scope="module")
def plan(shop):
    """Planned limits as the deploy printed them: name -> number."""
    return {limit: planned for (_, _, limit), (planned, _) in shop.first.table.items()}


def sql(host, statement):
    """One value from the database server, as root."""
    return host.ssh(f'mariadb -Nse "{statement}"').strip()


def forget_most_connections(host):
    """Start counting anew; FLUSH STATUS alone would not, from MariaDB 11.5 on."""
    sql(host, "FLUSH GLOBAL STATUS")
    assert most_connections(host) < 100


def most_connections(host):
    """The most connections the server had at once since then, without the one that asks."""
    return int(sql(host, "SHOW STATUS LIKE 'Max_used_connections'").split()[1]) - 1


def pids(host):
    """Pids of the Gunicorn workers."""
    return set(host.ssh(f"pgrep -P $(systemctl show -P MainPID {NAME})").split())


def test_first_deploy_serves_and_every_limit_is_verified(shop, host):
    assert get(host.address, HOST).status == 200
    assert ready(host.address, HOST)
    assert len(shop.first.table) > 40
    differing = [row for row in shop.first.output.splitlines() if "<- differs" in row]
    assert not differing
    print(f"first deploy: {shop.first.seconds:.0f} s")


def test_second_run_changes_nothing(shop):
    again = shop.deploy().check()
    assert again.number("changed") == 0
    print(f"unchanged deploy: {again.seconds:.0f} s")


def test_check_mode_shows_what_would_change_and_changes_nothing(shop, host):
    shop.replace("budget.toml", "wait_timeout = 600", "wait_timeout = 500")
    run = shop.deploy("--check --diff").check()
    shop.replace("budget.toml", "wait_timeout = 500", "wait_timeout = 600")
    assert "wait_timeout = 500" in run.output
    assert sql(host, "SELECT @@wait_timeout") == "600"
    assert "500" not in host.ssh(f"cat /etc/{NAME}/budget.toml | grep ^wait_timeout")


def test_nothing_secret_is_shown_or_readable(shop, host):
    environment = host.ssh(f"cat /etc/{NAME}/environment")
    secrets = re.findall(r'(?:PASSWORD|SECRET_KEY)="(\w+)"', environment)
    assert len(secrets) == 2
    run = shop.deploy("--check --diff -vvv").check()
    in_sight = run.output + host.ssh("ps axww -o args; journalctl --no-pager -o cat")
    assert not [secret for secret in secrets if secret in in_sight]
    assert host.ssh(f"stat -c %a:%U /etc/{NAME}/environment").strip() == "600:root"
    assert host.ssh(f"runuser -u {NAME} -- cat /etc/{NAME}/environment 2>&1 || true").count(
        "denied"
    )


def test_service_is_hardened(shop, host):
    text = host.ssh(f"systemd-analyze security --no-pager {NAME}.service")
    score = float(re.search(r"exposure level for \S+ ([\d.]+)", text)[1])
    print(f"systemd-analyze security: {score}")
    assert score <= SECURITY_LIMIT


def test_strangers_get_no_answer_and_metrics_stay_inside(shop, host):
    with pytest.raises(OSError, match="closed connection"):
        get(host.address, "somebody.else.example.com")
    assert get(host.address, HOST, "/metrics").status == 404


def test_account_is_refused_at_its_limit_while_the_administrator_gets_in(shop, host, plan):
    limit = int(plan[NAME])
    password = re.search(r'DB_PASSWORD="(\w+)"', host.ssh(f"cat /etc/{NAME}/environment"))[1]
    script = f"""
import pymysql
held = []
try:
    while len(held) <= {limit}:
        held.append(pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="{NAME}",
                                    password="{password}", database="{NAME}"))
except pymysql.err.OperationalError as error:
    print(len(held), error.args[0])
admin = pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="root")
print("admin in")
"""
    units = f"{NAME}.socket {NAME}-health.socket {NAME}.service"
    host.ssh(f"systemctl stop {units}")
    try:
        answer = host.ssh(f"python3 - <<'EOF'\n{script}\nEOF").splitlines()
    finally:
        host.ssh(f"systemctl start {units}")
    assert answer == [f"{limit} 1226", "admin in"]
    wait_ready(host.address, HOST)


def test_new_release_under_load_loses_no_request_and_keeps_the_bound(shop, host, plan):
    shop.replace("templates/shop/product_list.html", "</h1>", " (second)</h1>")
    release = shop.commit("Second release")
    forget_most_connections(host)
    with Traffic(host.address, HOST) as traffic:
        traffic.wait_for(20)
        run = shop.deploy().check()
        traffic.wait_for(20)
    most = most_connections(host)
    print(f"deploy under load: {run.seconds:.0f} s, most connections {most}, {traffic}")
    assert traffic.failures == []
    assert most <= int(plan["peak connections, all hosts"])
    assert shop.current(host) == release
    assert "(second)" in get(host.address, HOST).text


def test_reload_under_load_stays_within_the_budget(shop, host, plan):
    before = pids(host)
    forget_most_connections(host)
    with Traffic(host.address, HOST, clients=20) as traffic:
        traffic.wait_for(20)
        host.ssh(f"systemctl reload {NAME}")
        while before & pids(host):
            traffic.wait_for(10)
        traffic.wait_for(20)
    most = most_connections(host)
    print(f"reload under load: most connections {most}, {traffic}")
    assert traffic.failures == []
    assert most <= int(plan["peak connections, all hosts"])


def test_broken_release_is_refused_and_the_old_one_goes_on(shop, host):
    old = shop.current(host)
    shop.replace("config/urls.py", "urlpatterns =", "import no_such_module\n\nurlpatterns =")
    shop.commit("A release that does not start")
    try:
        with Traffic(host.address, HOST) as traffic:
            message = shop.deploy().refused()
            traffic.wait_for(20)
    finally:
        shop.git("revert", "--no-edit", "HEAD")
    assert f"Release {old} goes on serving" in message
    assert "no_such_module" in message
    assert traffic.failures == []
    assert shop.current(host) == old


@pytest.mark.full
def test_release_that_boots_and_cannot_serve_is_refused_too(shop, host):
    old = shop.current(host)
    shop.replace("ops/probes.py", '"SELECT 1"', '"SELECT 1 FROM no_such_table"')
    shop.commit("A release that is never ready")
    try:
        with Traffic(host.address, HOST) as traffic:
            message = shop.deploy().refused()
            traffic.wait_for(20)
    finally:
        shop.git("revert", "--no-edit", "HEAD")
    assert f"Release {old} goes on serving" in message
    assert traffic.failures == []
    assert shop.current(host) == old


@pytest.mark.full
def test_release_that_fails_only_as_the_service_is_taken_back(shop, host):
    """The trial is well; what the service itself has in its environment breaks the release."""
    old = shop.current(host)
    broken = 'if os.environ.get("DEPLOYED"):\n    raise RuntimeError("only as the service")\n\n'
    shop.replace("config/wsgi.py", "os.environ.setdefault", f"{broken}os.environ.setdefault")
    shop.commit("A release that fails at the switch")
    try:
        with Traffic(host.address, HOST) as traffic:
            message = shop.deploy().refused()
            traffic.wait_for(20)
    finally:
        shop.git("revert", "--no-edit", "HEAD")
    assert f"Release {old} goes on serving" in message
    assert "only as the service" in message
    assert traffic.failures == []
    assert shop.current(host) == old


def test_rollback_serves_the_release_before(shop, host):
    shop.deploy().check()
    with Traffic(host.address, HOST) as traffic:
        shop.make("rollback").check()
        traffic.wait_for(20)
    assert traffic.failures == []
    before = shop.git("rev-parse", "HEAD")[:12]
    assert shop.current(host) != before
    assert shop.deploy().check().number("failed") == 0
    assert shop.current(host) == before


def test_drift_is_found_and_mended(shop, host):
    sql(host, "SET GLOBAL wait_timeout = 99")
    sql(host, f"ALTER USER {NAME}@localhost WITH MAX_USER_CONNECTIONS 7")
    host.ssh(f"systemctl set-property --runtime {NAME}.service TasksMax=77")
    message = shop.make("check-limits").refused()
    assert "wait_timeout is 99, planned is 600" in message
    assert f"{NAME} is 7, planned is 140" in message
    assert "TasksMax is 77, planned is 128" in message
    host.ssh(f"rm -r /run/systemd/system.control/{NAME}.service.d && systemctl daemon-reload")
    shop.deploy().check()
    shop.make("check-limits").check()


@pytest.mark.full
def test_changed_budget_reaches_every_server_without_a_restart_of_the_database(shop, host):
    pid = host.ssh("systemctl show -P MainPID mariadb")
    with Traffic(host.address, HOST) as traffic:
        traffic.wait_for(20)
        shop.replace("budget.toml", "max_connections = 151", "max_connections = 101")
        shop.replace("budget.toml", "worker_connections = 100", "worker_connections = 40")
        run = shop.deploy().check()
        assert run.table["all1", "database", "max_connections"] == ("101", "101")
        assert run.table["all1", "database", NAME] == ("90", "90")
        assert run.table["all1", "application", "pool size of a worker"] == ("22", "22")
        assert run.table["all1", "application", "listen backlog"] == ("80", "80")
        shop.replace("budget.toml", "max_connections = 101", "max_connections = 151")
        shop.replace("budget.toml", "worker_connections = 40", "worker_connections = 100")
        run = shop.deploy().check()
        assert run.table["all1", "application", "listen backlog"] == ("200", "200")
        traffic.wait_for(20)
    print(f"other limits under load, and back: {traffic}")
    assert traffic.failures == []
    assert host.ssh("systemctl show -P MainPID mariadb") == pid


@pytest.mark.full
def test_lower_limits_wait_for_the_release_that_keeps_them(shop, host):
    """Where the roll-out fails, the old pools go on and open as many as they were given."""
    before = shop.git("rev-parse", "HEAD")
    shop.replace("budget.toml", "max_connections = 151", "max_connections = 61")
    shop.replace("config/urls.py", "urlpatterns =", "import no_such_module\n\nurlpatterns =")
    shop.commit("A release that does not start, with lower limits")
    account = f"SELECT max_user_connections FROM mysql.user WHERE user = '{NAME}'"
    try:
        shop.deploy().refused()
        assert sql(host, "SELECT @@max_connections") == "151"
        assert sql(host, account) == "140"
        assert "max_connections is 151, planned is 61" in shop.make("check-limits").refused()
        shop.replace("config/urls.py", "import no_such_module\n\n", "")
        shop.commit("It starts")
        shop.deploy().check()
        assert sql(host, "SELECT @@max_connections") == "61"
        assert sql(host, account) == "50"
    finally:
        shop.git("checkout", before, "--", ".")
        shop.commit("The limits of before")
    shop.deploy().check()
    assert shop.deploy().check().number("changed") == 0


@pytest.mark.full
def test_run_that_was_killed_is_simply_started_again(shop, host):
    shop.replace("templates/shop/product_list.html", "</h1>", " (third)</h1>")
    release = shop.commit("Third release")
    shop.start_and_kill("Install the locked dependencies")
    assert ready(host.address, HOST)
    shop.deploy().check()
    assert shop.current(host) == release
    assert shop.deploy().check().number("changed") == 0


def running(host):
    """Units of the application that run now, its bridge and trials included."""
    listed = host.ssh(f"systemctl list-units --plain --no-legend --state=running '{NAME}*.service'")
    return [unit.split()[0] for unit in listed.splitlines()]


@pytest.mark.full
def test_trial_of_a_run_that_was_killed_is_ended(shop, host):
    shop.replace("templates/shop/product_list.html", "</h1>", " (killed)</h1>")
    shop.commit("A release whose roll-out is killed")
    shop.start_and_kill("Ask it whether it is well")
    assert f"other instances is {NAME}-trial@" in shop.make("check-limits").refused()
    # Another commit: what is left is not of the release that comes.
    shop.replace("templates/shop/product_list.html", " (killed)</h1>", "</h1>")
    shop.commit("The next one")
    shop.deploy().check()
    assert running(host) == [f"{NAME}.service"]


@pytest.mark.full
def test_bridge_of_a_run_that_was_killed_is_ended(shop, host):
    shop.replace("templates/shop/product_list.html", "</h1>", " (killed)</h1>")
    shop.commit("A release whose roll-out is killed late")
    shop.start_and_kill("Start it now and at boot")
    host.ssh(f"systemctl restart {NAME}")  # which that run was about to do, or has just done
    assert f"other instances is {NAME}-bridge.service" in shop.make("check-limits").refused()
    shop.deploy().check()
    assert running(host) == [f"{NAME}.service"]


@pytest.mark.full
def test_installation_that_was_interrupted_is_ended(shop, host):
    # What dpkg writes before it goes on to the next package; apt then refuses to work.
    host.ssh("apt-get -qy remove python3-packaging")
    host.ssh("dpkg -s sudo > /var/lib/dpkg/updates/0000")
    assert "dpkg was interrupted" in host.ssh("apt-get -qy install python3-packaging 2>&1 || true")
    shop.deploy().check()
    host.ssh("dpkg -s python3-packaging")


@pytest.mark.full
def test_settings_edited_on_the_host_are_found_and_mended(shop, host, plan):
    host.ssh(f"echo 'BUDGET_WORKERS=1' >> /etc/{NAME}/environment")
    message = shop.make("check-limits").refused()
    assert f"settings is changed since its start: /etc/{NAME}/environment" in message
    host.ssh(f"systemctl restart {NAME}")
    assert "Gunicorn workers is 1, planned is 2" in shop.make("check-limits").refused()
    run = shop.deploy().check()
    assert run.table["all1", "application", "Gunicorn workers"] == ("2", "2")
    file = "/etc/mysql/mariadb.conf.d/99-by-hand.cnf"
    host.ssh(f"printf '[mysqld]\\nmax-connections = 500\\n' > {file}")
    try:
        message = shop.make("check-limits").refused()
        assert "after a restart is max_connections = 500, planned is the same" in message
        assert "max_connections = 500 would be in force after a restart" in shop.deploy().refused()
    finally:
        host.ssh(f"rm {file}")


@pytest.mark.full
def test_changed_port_is_listened_on(shop, host):
    shop.deploy("-e '{\"application_port\": 8001}'").check()
    assert ready(host.address, HOST)
    shop.deploy().check()
    assert ready(host.address, HOST)


@pytest.mark.full
def test_second_rollback_goes_one_further_back(shop, host):
    served = []
    for number in range(3):
        (shop.folder / "number.txt").write_text(str(number))
        served.append(shop.commit(f"Release {number}"))
        shop.deploy().check()
    for expected in reversed(served[:2]):
        shop.make("rollback").check()
        assert shop.current(host) == expected
    shop.deploy().check()


def test_database_restart_under_load_recovers_without_help(shop, host):
    with Traffic(host.address, HOST, paths=("/", "/api/products/")) as traffic:
        traffic.wait_for(20)
        host.ssh("systemctl restart mariadb")
        seconds = wait_ready(host.address, HOST)
        before = len(traffic.failures)
        traffic.wait_for(100)
        assert len(traffic.failures) == before
    print(f"database restart: {before} requests failed, ready again after {seconds:.1f} s")


def test_killed_worker_and_killed_gunicorn_come_back(shop, host):
    host.ssh(f"kill -9 $(pgrep -P $(systemctl show -P MainPID {NAME}) | head -1)")
    wait_ready(host.address, HOST)
    host.ssh(f"kill -9 $(systemctl show -P MainPID {NAME})")
    wait_ready(host.address, HOST)


def test_host_comes_back_by_itself_after_a_reboot(shop, host):
    host.ssh("systemctl reboot", check=False)
    while ready(host.address, HOST):
        pass
    print(f"ready {wait_ready(host.address, HOST):.0f} s after the reboot")
    shop.make("check-limits").check()


@pytest.mark.full
def test_https(shop, host):
    files = {
        "nginx_tls_key": "/etc/ssl/private/shop.key",
        "nginx_tls_certificate": "/etc/ssl/shop.pem",
    }
    host.ssh(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        f" -subj /CN={HOST} -addext subjectAltName=DNS:{HOST}"
        f" -keyout {files['nginx_tls_key']} -out {files['nginx_tls_certificate']}"
    )
    main = shop.inventory / "group_vars/all/main.yml"
    main.write_text(main.read_text() + "".join(f"{k}: {v}\n" for k, v in files.items()))
    shop.deploy().check()

    trust = ssl.create_default_context(cadata=host.ssh(f"cat {files['nginx_tls_certificate']}"))
    with (
        socket.create_connection((host.address, 443), 10) as plain,
        trust.wrap_socket(plain, server_hostname=HOST) as encrypted,
    ):
        ask = f"GET /admin/login/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        encrypted.sendall(ask.encode())
        head = encrypted.makefile().read().partition("\n\n")[0]
    assert head.startswith("HTTP/1.1 200")
    assert "Strict-Transport-Security: max-age=" in head
    assert re.search(r"Set-Cookie: csrftoken=.*; Secure", head)
    with pytest.raises(OSError, match="closed connection"):
        get(host.address, "somebody.else.example.com")
    redirect = get(host.address, HOST, "/products")
    assert (redirect.status, redirect.headers["Location"]) == (301, f"https://{HOST}/products")
    with (
        pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"),
        socket.create_connection((host.address, 443), 10) as plain,
    ):
        trust.wrap_socket(plain, server_hostname="somebody.else.example.com")
    assert shop.deploy().check().number("changed") == 0
