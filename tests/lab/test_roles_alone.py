"""The roles `database`, `application` and `nginx` by themselves: with a plan and variables from
whoever uses them, without the role `plan`, its groups and its facts.
"""

import subprocess
import sys

import pytest
import yaml

from tests.lab.deployment import HOST, Deployment, Run
from tests.lab.traffic import ready

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

PLAN = "{{ lookup('ansible.builtin.file', 'plan.json') | from_json }}"
PASSWORDS = {
    f"database_password_{account}": f"password-of-{account}"
    for account in ("application", "migrate", "jobs", "monitor", "rescue")
}
DATABASE = {
    "application_name": "shop",
    "database_plan": PLAN,
    "database_clients": "localhost",
    "database_address": "127.0.0.1",
    **PASSWORDS,
}
APPLICATION = {
    "application_name": "shop",
    "application_source": "{{ playbook_dir | dirname }}",
    "application_plan": PLAN,
    "application_budget_file": "{{ playbook_dir | dirname }}/budget.toml",
    "application_numbers": {},
    "application_hostnames": [HOST],
    "application_address": "127.0.0.1",
    "application_proxies": ["127.0.0.1"],
    "application_https": False,
    "application_secret_key": "k" * 50,
    "application_database_host": "/run/mysqld/mysqld.sock",
    "application_database_authority": "",
    **PASSWORDS,
}
NGINX = {
    "application_name": "shop",
    "nginx_plan": PLAN,
    "nginx_hostnames": [HOST],
    "plan_nginx_is_local": True,
    "plan_addresses": {"solo1": "127.0.0.1"},
}


@pytest.fixture(scope="module")
def host(lab):
    return lab.up("solo1")["solo1"]


@pytest.fixture(scope="module")
def play(lab, host):
    """``play(role, variables)``: a playbook of that one role."""
    everything = {group: [host] for group in ("database", "application", "nginx")}
    project = Deployment(lab.folder / "alone", lab, everything)
    deploy = project.folder / "deploy"
    inventory = deploy / "inventories/alone"
    inventory.mkdir()
    hosts = {host.name: {"ansible_host": host.address, **lab.connection_variables()}}
    (inventory / "hosts.yml").write_text(yaml.safe_dump({"application": {"hosts": hosts}}))
    budget = [sys.executable, "-m", "budget", "--json"]
    with (deploy / "plan.json").open("w") as file:
        subprocess.run(budget, cwd=project.folder, stdout=file, check=True)

    def run(role, variables):
        named = {"role": f"django_budget.deploy.{role}"}
        plays = [{"hosts": "all", "become": True, "vars": variables, "roles": [named]}]
        (deploy / "alone.yml").write_text(yaml.safe_dump(plays))
        command = [lab.folder / "ansible/bin/ansible-playbook", "-i", inventory, "alone.yml"]
        done = subprocess.run(
            command,
            cwd=deploy,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout, 0).check()

    APPLICATION["application_release"] = project.git("rev-parse", "HEAD")[:12]
    return run


@pytest.mark.parametrize(
    ("role", "variables"),
    [("database", DATABASE), ("application", APPLICATION), ("nginx", NGINX)],
    ids=["database", "application", "nginx"],
)
def test_role_alone_does_its_part_and_nothing_twice(play, role, variables):
    assert play(role, variables).number("changed") > 0
    assert play(role, variables).number("changed") == 0


def test_what_they_made_serves(host):
    assert ready(host.address, HOST)
