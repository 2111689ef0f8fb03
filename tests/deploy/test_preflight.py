"""Bad input gives one clear message, with every problem in it, before a host is changed.

What needs a host of another kind is in tests/lab/test_refusals.py.
"""

import re
import shutil

import pytest

from tests.places import TEMPLATE

pytestmark = [pytest.mark.full, pytest.mark.timeout(120)]


def test_what_fits_is_planned_for_the_hosts_of_the_inventory(inventory, plan_of):
    inventory.groups["application"] = ["app1", "app2", "app3"]
    facts = plan_of(plan_numbers={"workers": 3})
    assert facts["limits"]["budget"]["hosts"] == 3
    assert facts["limits"]["budget"]["workers"] == 3
    assert set(facts["addresses"]) == {"db1", "app1", "app2", "app3", "web1"}


def test_every_wrong_variable_is_told_in_one_message(inventory):
    inventory.vars |= {
        "aplication_port": 8001,
        "plan_nubmers": {"workers": 3},
        "application_memory_max": "50%",
        "application_port": "eight",
        "database_admin_port": 70_000,
        "nginx_port": "8443",
        "database_tls": "no",
        "database_migrate_connections": 0,
        "database_server": "postgresql",
        "nginx_hostnames": "a.example.com,b.example.com",
        "application_version": "v9",
        "plan_numbers": {"workers": 100},
    }
    message = inventory.refused([inventory.PLAN])
    for sentence in (
        "Nothing was changed. To be put right first",
        "unknown variable aplication_port: did you mean application_port?",
        "unknown variable plan_nubmers: did you mean plan_numbers?",
        "unknown variable application_memory_max",
        "'eight'",
        "database_admin_port is 70000, and has to be from 1 to 65535",
        "nginx_port is the text '8443', not of type int",
        """-e '{"nginx_port": 8443}'""",
        "database_tls is the text 'no', not of type bool",
        "database_migrate_connections is 0, and has to be from 1",
        "value of database_server must be one of: mariadb, mysql, got: postgresql",
        "nginx_hostnames is the text 'a.example.com,b.example.com', not of type list",
        "git does not know application_version 'v9'",
        "workers = 70",
    ):
        assert sentence in message


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"workers": "many"}, "'many' is not a whole number"),
        ({"wrokers": 3}, "--wrokers"),
    ],
    ids=["no number", "misspelt"],
)
def test_wrong_number_of_the_budget_is_refused(inventory, numbers, expected):
    inventory.vars["plan_numbers"] = numbers
    assert expected in inventory.refused([inventory.PLAN])


def test_hosts_too_small_for_the_plan_are_refused(inventory):
    inventory.vars["plan_numbers"] = {"app_memory_mb": 16_000_000, "memory_mb": 16_000_000}
    message = inventory.refused([inventory.PLAN])
    assert "1. db1 has" in message
    assert "a database server of 16000000 MiB: lower memory_mb in the budget" in message
    assert "2. app1 has" in message
    assert "lower app_memory_mb in the budget" in message


def test_names_and_addresses_that_cannot_be_used_are_refused(inventory):
    inventory.vars |= {
        "application_name": "My Shop that has a long name",
        "plan_address": "db1.lan",
    }
    del inventory.vars["application_hostnames"]
    message = inventory.refused([inventory.PLAN])
    for sentence in (
        "is longer than 24 characters",
        "is no name for a user, folders and units",
        "missing required arguments: application_hostnames",
        "'db1.lan' is no address: set plan_address",
    ):
        assert sentence in message


def test_problem_of_several_hosts_is_told_once(inventory):
    inventory.groups["application"] = ["app1", "app2"]
    inventory.vars["application_port"] = "8001"
    message = inventory.refused([inventory.PLAN])
    assert message.count("application_port is the text '8001'") == message.count("right first")
    assert "(role application, app1, app2)" in message


def test_budget_that_cannot_be_read_is_told_with_its_value_as_it_is_written(inventory):
    budget = inventory.folder / "budget.toml"
    budget.write_text('[application]\nworkers = "2"\n')
    assert 'B003 workers = "2": must be a whole number' in inventory.refused([inventory.PLAN])
    budget.write_text("[application]\nworkers = two\n")
    assert "budget.toml: B001: the budget is not valid TOML" in inventory.refused([inventory.PLAN])


@pytest.mark.parametrize("playbook", ["site", "check", "rollback"])
def test_inventory_without_hosts_is_refused(inventory, playbook):
    inventory.groups = {"database": [], "application": [], "nginx": []}
    assert "There is no host in" in inventory.refused(f"django_budget.deploy.{playbook}")


def test_environment_that_does_not_exist_is_refused(inventory):
    config = (TEMPLATE / "deploy/ansible.cfg").read_text()
    (inventory.folder / "ansible.cfg").write_text(config)
    (inventory.folder / ".vault-password").write_text("x")
    wrong = ["ansible-playbook", "-i", "inventories/prodution", "django_budget.deploy.site"]
    run = inventory.run(wrong)
    assert run.returncode != 0, run.stdout
    assert "inventories/prodution" in run.stderr


def test_empty_groups_are_refused(inventory):
    inventory.groups = {"database": [], "application": [], "nginx": [], "others": ["other1"]}
    message = inventory.refused([inventory.PLAN])
    for group in ("database", "application", "nginx"):
        assert f"group [{group}]" in message


def test_missing_secrets_are_named(inventory):
    del inventory.vars["database_password_jobs"]
    inventory.vars["application_secret_key"] = ""
    message = inventory.refused([inventory.PLAN])
    assert "missing secrets: application_secret_key, database_password_jobs" in message
    assert not [secret for secret in inventory.SECRETS.values() if secret in message]


def test_part_of_the_hosts_is_refused_as_the_others_are_not_known(inventory):
    del inventory.vars["plan_address"]
    assert "app1 was not looked at" in inventory.refused([inventory.PLAN], "--limit", "db1")


def test_a_plan_after_another_playbook_of_the_same_run_is_accepted(inventory):
    left = {"application_seen": {"stat": {}}, "database_reason": 1, "application_touched": True}
    before = {"hosts": "all", "tasks": [{"ansible.builtin.set_fact": left}]}
    message = inventory.refused([before, inventory.PLAN])
    # What the roles keep for themselves is no option that was given; what looks like it is one.
    assert "unknown variable database_reason" in message
    assert "application_seen" not in message
    assert "application_touched" not in message


def test_a_project_whose_budget_is_older_than_the_collection_is_refused(inventory):
    program = inventory.folder / "budget/__main__.py"
    program.write_text("print('{\"pool_size\": 3}')")
    assert "is older than this collection: no app_tasks_max" in inventory.refused([inventory.PLAN])


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs ssh (apt-get install openssh-client)")
def test_no_network_to_one_host_stops_before_any_other_is_changed(inventory):
    # Nobody listens on port 1, so the answer comes at once.
    far = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    inventory.host_vars["app1"] = far
    message = inventory.refused("django_budget.deploy.site", "--tags", "preflight")
    assert "app1 | UNREACHABLE" in message or "[app1]: UNREACHABLE" in message


@pytest.mark.parametrize(
    ("password", "expected"), [("wrong", "Decryption failed"), (None, "was not found")]
)
def test_wrong_or_missing_vault_password_is_refused(inventory, password, expected):
    right, file = inventory.folder / "right", inventory.folder / "password"
    right.write_text("right")
    vault = inventory.write() / "group_vars/all/vault.yml"
    vault.parent.mkdir(parents=True)
    vault.write_text("application_secret_key: x\n")
    command = ["ansible-vault", "encrypt", "--vault-password-file", right, vault]
    inventory.run(command).check_returncode()
    if password:
        file.write_text(password)
    assert expected in inventory.refused([inventory.PLAN], "--vault-password-file", str(file))


def preflight(role, **variables):
    """A play with the preflight of one role, on its group."""
    task = {
        "ansible.builtin.include_role": {
            "name": f"django_budget.deploy.{role}",
            "tasks_from": "preflight",
        },
        "vars": variables,
    }
    return {"hosts": role, "any_errors_fatal": True, "tasks": [task]}


@pytest.mark.parametrize(
    ("role", "variables", "expected"),
    [
        ("nginx", {"nginx_tls_certificate": "/etc/none.pem"}, ["belong together"]),
        (
            "nginx",
            {"nginx_tls_certificate": "/n.pem", "nginx_tls_key": "/n.key", "nginx_port": 80},
            ["nginx_port is 80", "there is no /n.pem and no /n.key"],
        ),
        (
            "application",
            {
                "application_hostnames": [],
                "application_keep_releases": 1,
                "application_environment": {"SECRET_KEY": "x", "BUDGET_WORKERS": 3, "TZ": "a\nb"},
            },
            [
                "application_hostnames is empty",
                "a rollback needs at least 2",
                "application_environment has BUDGET_WORKERS, SECRET_KEY, which",
                "has several lines",
            ],
        ),
        (
            "application",
            {"application_packages": ["no-such-package"]},
            ["Unable to locate package no-such-package"],
        ),
        (
            "database",
            {"database_options": {"max_connections": 500}, "database_migrate_connections": 9},
            ["which the budget decides", "leave none of the 11 reserved"],
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_host_or_role_that_does_not_fit_is_refused(inventory, role, variables, expected):
    # As variables of the inventory, where people write them.
    inventory.vars |= variables
    message = inventory.refused([inventory.PLAN, preflight(role)])
    for sentence in expected:
        assert sentence in message


def test_distribution_that_is_not_supported_is_refused(inventory):
    supported = [("Debian", "12.9"), ("Debian", "13"), ("Debian", "n/a"), ("Ubuntu", "24.04")]
    others = [("Debian", "11.11"), ("Ubuntu", "22.04"), ("Rocky", "9.5")]
    inventory.groups["database"] = []
    for number, (distribution, release) in enumerate(supported + others):
        inventory.groups["database"].append(f"db{number}")
        inventory.host_vars[f"db{number}"] = {
            "seen": {
                "distribution": distribution,
                "distribution_version": release,
                "os_family": "RedHat" if distribution == "Rocky" else "Debian",
                "service_mgr": "none",  # so that all are refused, for one reason or two
            }
        }
    check = preflight("host", ansible_facts="{{ seen }}") | {
        "hosts": "database",
        "gather_facts": False,
    }
    message = inventory.refused([check])
    hosts = re.findall(r"(db\d): its first process is none, and systemd is needed", message)
    assert sorted(set(hosts)) == inventory.groups["database"]
    refused = re.findall(
        r"(\w+ [\w./]+) is not supported: Debian 12 or Ubuntu 24.04, or newer", message
    )
    assert sorted(set(refused)) == sorted(" ".join(other) for other in others)
