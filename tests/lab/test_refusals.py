"""What leaves a bare host as it was: bad input, told in one clear message, and --check."""

import json

import pytest

from tests.lab.deployment import Deployment
from tests.lab.machines import network

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def host(lab):
    return lab.up("bare1")["bare1"]


@pytest.fixture(scope="module")
def shop(lab, host):
    groups = {"database": [host], "application": [host], "nginx": [host]}
    return Deployment(lab.folder / "refusals", lab, groups)


@pytest.fixture
def changed_files(host):
    """Function that gives the files that were changed since the test began."""

    def files():
        places = "/etc /srv /usr/bin /var/lib"
        found = host.ssh(f"find {places} -newer /root/mark -not -path '*/systemd/*' 2>/dev/null")
        return found.split()

    host.ssh("touch /root/mark")
    return files


@pytest.fixture
def refused(shop, changed_files):
    """Deploys with extra variables, which has to be refused without a change; gives the message."""

    def deploy(arguments="", **variables):
        run = shop.deploy(f"{arguments} -e '{json.dumps(variables)}'")
        message = run.refused()
        assert run.number("changed") == 0
        assert changed_files() == []
        return message

    return deploy


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"aplication_port": 8001},
            "unknown variable aplication_port: did you mean application_port?",
        ),
        ({"database_tsl": True}, "unknown variable database_tsl: did you mean database_tls?"),
        ({"application_port": "eight"}, "'eight'"),
        ({"plan_numbers": {"workers": "many"}}, "'many' is not a whole number"),
        ({"plan_numbers": {"wrokers": 3}}, "wrokers"),
        ({"plan_numbers": {"workers": 100}}, "workers = 70"),
        ({"plan_numbers": {"memory_mb": 16000000}}, "MiB of memory"),
        ({"database_server": "postgresql"}, "must be one of: mariadb, mysql"),
        ({"application_version": "v9"}, "git does not know application_version 'v9'"),
        ({"application_hostnames": []}, "application_hostnames is empty"),
        ({"database_migrate_connections": 9}, "leave none of the 11 reserved connections"),
        ({"database_options": {"max_connections": 500}}, "which the budget decides"),
        ({"nginx_tls_certificate": "/etc/none.pem"}, "belong together"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_variable_is_refused(refused, variables, expected):
    assert expected in refused(**variables)


def test_all_problems_are_told_at_once(refused):
    message = refused(aplication_port=1, application_version="v9", plan_numbers={"workers": 100})
    for part in ("aplication_port", "v9", "workers = 70"):
        assert part in message


def test_empty_group_is_refused(shop, refused):
    application = shop.hosts.pop("application")
    try:
        shop.write_hosts()
        assert "[application] is empty" in refused()
    finally:
        shop.hosts["application"] = application
        shop.write_hosts()


def test_wrong_vault_password_is_refused(shop, refused):
    file = shop.folder / "deploy/.vault-password"
    text = file.read_text()
    file.write_text("wrong")
    try:
        assert "Decryption failed" in refused()
    finally:
        file.write_text(text)


def test_missing_secrets_are_refused(shop, refused):
    vault = shop.inventory / "group_vars/all/vault.yml"
    text = vault.read_text()
    vault.unlink()
    try:
        assert "missing secrets: application_secret_key" in refused()
    finally:
        vault.write_text(text)


def test_release_without_lock_file_is_refused(shop, refused):
    lock = (shop.folder / "requirements.lock").read_text()
    shop.git("rm", "-q", "requirements.lock")
    shop.commit("No lock")
    try:
        assert "has no requirements.lock: make it with `make lock`" in refused()
    finally:
        (shop.folder / "requirements.lock").write_text(lock)
        shop.commit("Lock again")


def test_unreachable_host_stops_everything(shop, host, lab, refused):
    other = lab.up("app2")["app2"]
    shop.hosts["application"].append(other)
    network.cut_off("app2")
    try:
        shop.write_hosts()
        assert "[app2]: UNREACHABLE" in refused("-T 3")
    finally:
        network.heal()
        shop.hosts["application"].remove(other)
        shop.write_hosts()


def test_server_with_other_data_is_refused(shop, host, refused):
    host.ssh("mkdir -p /var/lib/mysql/accounts && touch /root/mark")
    try:
        message = refused()
        assert "other data (accounts)" in message
        assert "database_adopt" in message
    finally:
        host.ssh("rm -r /var/lib/mysql && touch /root/mark")


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        (
            "sites-enabled/other",
            "server { listen 80 default_server; }",
            "/etc/nginx/sites-enabled/other is its default_server already",
        ),
        ("nginx.conf", "worker_rlimit_nofile 100;", "worker_rlimit_nofile 100 already"),
    ],
    ids=["another default site", "a lower limit"],
)
def test_nginx_that_would_not_start_with_ours_is_refused(host, refused, file, text, expected):
    host.ssh(f"mkdir -p /etc/nginx/sites-enabled && echo '{text}' > /etc/nginx/{file}")
    host.ssh("touch /root/mark")
    try:
        assert expected in refused()
    finally:
        host.ssh("rm -r /etc/nginx && touch /root/mark")


def test_port_that_another_program_has_is_refused(host, refused):
    host.ssh("systemd-run --unit=other python3 -m http.server 8000")
    host.ssh("touch /root/mark")
    try:
        assert "listens on 0.0.0.0:8000" in refused()
    finally:
        host.ssh("systemctl stop other")


def test_check_mode_on_a_bare_host_changes_nothing(shop, changed_files):
    run = shop.deploy("--check --diff").check()
    assert "would be made from commit" in run.output
    # apt refreshes its lists also where it only looks.
    assert [name for name in changed_files() if not name.startswith("/var/lib/apt")] == []
