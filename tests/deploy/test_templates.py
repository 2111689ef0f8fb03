"""The files the roles write, rendered with real plans and read as their programs read them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.full

ROLES = Path(__file__).resolve().parents[2] / "ansible/roles"
PLACES = {
    "database": {"server.cnf": "server.cnf.j2", "unit.conf": "unit.conf.j2"},
    "application": {
        "shop.service": "service.j2",
        "shop-bridge.service": "service.j2",
        "shop-trial@.service": "service.j2",
        "shop.socket": "socket.j2",
        "shop-migrate@.service": "migrate.j2",
        "shop-clearsessions.service": "clearsessions.service.j2",
        "shop-clearsessions.timer": "clearsessions.timer.j2",
        "environment": "environment.j2",
    },
    "nginx": {"site.conf": "site.conf.j2", "server.conf": "server.conf.j2"},
}
ON_SEVERAL_HOSTS = {
    "database": {"plan_address": "10.0.0.11"},
    "application": {"plan_address": "10.0.0.12"},
    "nginx": {"plan_address": "10.0.0.13"},
}


@pytest.fixture
def rendered(inventory):
    """``rendered(**variables)``: the text of each file by its name, for three hosts."""

    def render(**variables):
        out = inventory.folder / "rendered"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        inventory.host_vars = {
            inventory.groups[role][0]: given for role, given in ON_SEVERAL_HOSTS.items()
        }
        plays = [inventory.PLAN]
        for role, files in PLACES.items():
            render = {
                "ansible.builtin.template": {
                    "src": f"{ROLES / role}/templates/{{{{ item.value }}}}",
                    "dest": f"{out}/{{{{ item.key }}}}",
                },
                "loop": "{{ files | dict2items }}",
                "vars": {
                    "files": files,
                    "kind": "{{ item.key | regex_search('bridge|trial') or 'main' }}",
                    "nginx_server": "app1",
                    "nginx_down": False,
                },
            }
            defaults = [f"{ROLES / role}/{kind}/main.yml" for kind in ("defaults", "vars")]
            plays.append({"hosts": role, "vars_files": defaults, "tasks": [render]})
        run = inventory.play(plays, "-e", json.dumps(variables))
        assert run.returncode == 0, run.stdout + run.stderr
        return {path.name: path.read_text() for path in out.iterdir()}

    return render


def settings(text):
    """``name = value`` and ``Name=value`` lines; the last of a name counts."""
    return dict(re.findall(r"(?m)^(\w+) ?= ?(.*)$", text))


def test_files_of_several_hosts(rendered, tmp_path):
    files = rendered(application_environment={"QUOTED": 'a "b" \\ c'})
    for text in files.values():
        assert "\n\n\n" not in text
        assert not re.search(r"(?m)[ \t]$", text), text
        assert text.endswith("\n")
        assert not text.endswith("\n\n")

    server = settings(files["server.cnf"])
    # MariaDB opens extra_port on these addresses only, and the rescue account is 127.0.0.1's.
    assert server["bind_address"] == "127.0.0.1,10.0.0.11"
    assert server["max_connections"] == "151"
    assert server["ssl_cert"] == "/etc/mysql/tls/server.pem"
    assert settings(files["unit.conf"])["LimitNOFILE"] == server["open_files_limit"]

    unit = settings(files["shop.service"])
    assert unit["TasksMax"] == "128"
    assert unit["MemoryMax"] == "1536M"
    assert unit["OOMPolicy"] == "continue"
    assert int(unit["TimeoutStopSec"]) > 30
    for name in ("shop.service", "shop-bridge.service", "shop-trial@.service"):
        assert settings(files[name])["UMask"] == "0077"
    assert "\n\n[Install]\n" in files["shop.service"]
    assert "[Install]" not in files["shop-bridge.service"] + files["shop-trial@.service"]
    assert settings(files["shop.socket"])["Backlog"] == "200"
    assert '\nQUOTED="a \\"b\\" \\\\ c"\n' in files["environment"]

    assert "keepalive 50;" in files["site.conf"]
    assert files["server.conf"].count("10.0.0.12:8000 max_conns=400 ") == 1
    assert "ssl" not in files["site.conf"]


def test_a_host_that_shares_its_connections_has_one_ledger_for_its_workers(rendered):
    files = rendered(plan_numbers={"sharing": "host"})
    units = [name for name in files if name.startswith("shop") and name.endswith(".service")]
    for name in units:
        # Jobs and migrations use other accounts, whose connections are of the reserve.
        with_ledger = "migrate" not in name and "clearsessions" not in name
        assert ("\nRuntimeDirectory=shop\n" in files[name]) is with_ledger
        if with_ledger:
            unit = settings(files[name])
            assert unit["RuntimeDirectoryMode"] == "0700"
            # Each of them may end while another one uses the file.
            assert unit["RuntimeDirectoryPreserve"] == "yes"
    environment = settings(files["environment"])
    assert environment["POOL_LEDGER"] == '"/run/shop/connections"'
    assert environment["POOL_ROLE"] == '"web"'
    assert environment["BUDGET_SHARING"] == '"host"'


def test_a_host_whose_workers_have_fixed_shares_has_no_ledger(rendered):
    files = rendered()
    assert "POOL_" not in files["environment"]
    assert "RuntimeDirectory=shop\n" not in files["shop.service"]


def test_sync_workers_keep_no_connection_to_nginx_alive(rendered):
    # nginx does not start with `keepalive 0`.
    site = rendered(plan_numbers={"worker_class": "sync"})["site.conf"]
    assert not re.search(r"^\s*keepalive", site, re.MULTILINE)


def test_site_with_a_certificate_answers_only_to_its_names(rendered):
    tls = {"nginx_tls_certificate": "/tls/chain.pem", "nginx_tls_key": "/tls/key.pem"}
    site = rendered(**tls, nginx_port=8443)["site.conf"]
    strangers, redirect, ours = re.findall(r"(?ms)^server \{\n(.*?)^\}", site)
    for server in (strangers, redirect, ours):
        listens = re.findall(r"listen (\S+)", server)
        assert len(listens) == len(set(listens)), "nginx refuses a duplicate listen"
    assert "listen 8443 ssl default_server;" in strangers
    assert "listen 80 default_server;" in strangers
    assert "return 444;" in strangers
    assert "server_name shop.example.com;" in redirect
    assert "https://$host:8443$request_uri" in redirect
    assert "listen 8443 ssl;" in ours
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in ours


def test_mariadb_accepts_its_file(rendered, tmp_path):
    program = shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if not program:
        pytest.skip("no mariadbd on this machine")
    file = tmp_path / "server.cnf"
    file.write_text(rendered()["server.cnf"])
    command = [program, f"--defaults-file={file}", "--user=nobody", "--help", "--verbose"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "unknown" not in done.stderr
    found = dict(re.findall(r"(?m)^([\w-]+) +(\S+)$", done.stdout))
    assert found["max-connections"] == "151"
    assert found["back-log"] == "151"


def test_every_option_of_a_role_alone_has_a_default_that_is_not_a_secret():
    for role in PLACES:
        text = (ROLES / role / "defaults/main.yml").read_text()
        assert not [name for name in yaml.safe_load(text) if "password" in name]
