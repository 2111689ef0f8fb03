"""What the template, the hooks, the packages and the roles each have to know, they know alike.

A fact that a role cannot take from the plan stands in two files: one is part of a project, the
other of the collection. Each test reads both files as they stand. No host is needed here.
"""

import ast
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import find_commands
from gunicorn.config import SecureSchemeHeader

from budget.rules.reading import PREFIX, VARIABLES
from budget.rules.server import MEMORY_PER_CONNECTION
from hooks.answers import SLUG_MAX, wrong_answers
from localserver import accounts, programs
from localserver.server import DEFAULTS
from tests.places import REPOSITORY, TEMPLATE

COLLECTION = REPOSITORY / "ansible"
ROLES = COLLECTION / "roles"

#: https://dev.mysql.com/doc/refman/8.4/en/user-names.html; MariaDB allows more.
LONGEST_ACCOUNT = 32

#: MiB of stack for one connection: MySQL's default. MariaDB's is smaller.
THREAD_STACK = 1


def text(path: str) -> str:
    """The text of a file of the repository."""
    return (REPOSITORY / path).read_text()


def template(path: str) -> str:
    """The text of a file of the template."""
    return (TEMPLATE / path).read_text()


def role(name: str, part: str = "vars") -> dict[str, Any]:
    """Variables of a role as they stand, with their Jinja: its ``vars`` or its ``defaults``."""
    return dict(yaml.safe_load((ROLES / name / part / "main.yml").read_text()))


def constant(path: Path, name: str) -> Any:
    """The value that a module without Jinja gives to ``name``, without importing the module."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return eval(ast.unparse(node.value), {"re": re})
    raise AssertionError(f"{path} has no {name}")


def found(pattern: str, where: str) -> str:
    """What the group of ``pattern`` matches; there is exactly one match."""
    (match,) = re.findall(pattern, where)
    return str(match)


PLAN_ACTION = COLLECTION / "plugins/action/plan.py"
CHECKS = TEMPLATE / "config/checks.py"
SITE = (ROLES / "nginx/templates/site.conf.j2").read_text()
ENVIRONMENT = (ROLES / "application/templates/environment.j2").read_text()


# -- accounts -------------------------------------------------------------------------------------


def suffixes() -> dict[str, dict[str, Any]]:
    """Accounts that the role `database` makes, by what follows the application's name."""
    return {
        each["name"].removeprefix("{{ database_user }}"): each
        for each in role("database")["database_accounts"]
    }


def privileges(text: str) -> list[str]:
    return sorted(text.split(", "))


def test_the_application_may_the_same_in_development_and_in_production() -> None:
    rights = role("database")["database_rows"]
    assert privileges(accounts.APPLICATION_PRIVILEGES) == sorted(rights)
    assert suffixes()[""]["privileges"] == "{{ database_rows }}"


def test_migrations_may_the_same_in_development_and_in_production() -> None:
    rights = role("database")["database_tables"]
    assert privileges(accounts.MIGRATION_PRIVILEGES) == sorted(rights)
    assert suffixes()[accounts.MIGRATION_SUFFIX]["privileges"] == "{{ database_tables }}"


def test_the_migrating_account_is_called_the_same_everywhere() -> None:
    assert constant(CHECKS, "MIGRATION_SUFFIX") == accounts.MIGRATION_SUFFIX
    assert accounts.MIGRATION_SUFFIX in suffixes()


def test_each_environment_of_the_application_names_an_account_that_is_made() -> None:
    (task,) = (
        each
        for each in yaml.safe_load((ROLES / "application/tasks/configure.yml").read_text())
        if each.get("ansible.builtin.template", {}).get("src") == "environment.j2"
    )
    made = suffixes()
    for each in task["loop"]:
        suffix = each["user"].removeprefix("{{ application_database_user }}")
        assert each["password"] == made[suffix]["password"]
    files = {each["file"] for each in task["loop"]}
    units = "".join(path.read_text() for path in (ROLES / "application/templates").iterdir())
    assert files == set(re.findall(r"EnvironmentFile=.*/((?:\w+\.)?environment)\b", units))


def test_the_longest_name_of_a_project_leaves_room_for_every_account() -> None:
    room = LONGEST_ACCOUNT - max(map(len, suffixes()))
    assert room == SLUG_MAX
    assert room == constant(PLAN_ACTION, "LONGEST_USER")


def test_a_name_that_the_prompts_take_can_be_deployed() -> None:
    prompts = json.loads(text("cookiecutter.json"))
    answers = {
        name: value[0] if isinstance(value, list) else value for name, value in prompts.items()
    } | {"project_name": "My Project", "author_name": "Ada", "author_email": "ada@example.com"}

    def refused(slug: str) -> bool:
        wrong = wrong_answers(answers | {"project_slug": slug}, prompts, ())
        return "project_slug" in [each.prompt for each in wrong]

    assert not refused("my_project")
    assert constant(PLAN_ACTION, "NAME").fullmatch("a1_b2")
    taken = constant(PLAN_ACTION, "TAKEN")
    assert [name for name in sorted(taken) if not refused(name)] == []


def test_every_secret_that_a_role_needs_is_made_by_make_secrets() -> None:
    (play,) = yaml.safe_load(text("ansible/playbooks/secrets.yml"))
    options = {
        name: option
        for path in ROLES.glob("*/meta/argument_specs.yml")
        for name, option in yaml.safe_load(path.read_text())["argument_specs"]["main"][
            "options"
        ].items()
    }
    needed = {name for name in options if re.search("_(password_.*|secret_key)$", name)}
    assert set(play["vars"]["secrets_names"]) == needed


# -- the database server --------------------------------------------------------------------------


def test_development_has_productions_options_where_both_set_them() -> None:
    written = dict(re.findall(r"'(\w+)': '([^']*)'", role("database")["database_wanted"]))
    both = DEFAULTS.keys() & written.keys()
    assert both == {"character_set_server", "skip_name_resolve"}
    assert {name: DEFAULTS[name] for name in both} == {name: written[name] for name in both}


def test_a_database_gets_the_same_character_set_in_development_and_in_production() -> None:
    pattern = r"CREATE DATABASE .*CHARACTER SET (\w+)"
    here = found(pattern, text("packages/localserver/src/localserver/server.py"))
    assert here == found(pattern, text("ansible/plugins/modules/accounts.py"))
    assert here == DEFAULTS["character_set_server"]


def test_each_server_that_can_be_chosen_can_be_run_here_and_deployed() -> None:
    chosen = set(json.loads(text("cookiecutter.json"))["db_server"])
    assert chosen == set(programs.INSTALL)
    assert chosen == set(role("database")["database_flavours"])


def test_the_buffers_of_a_connection_fit_the_memory_that_the_budget_counts_for_it() -> None:
    unit = {"K": 1 / 1024, "M": 1}  # MiB
    size = {
        name: int(value[:-1]) * unit[value[-1]]
        for name, value in role("database")["database_per_connection"].items()
    }
    # One table in memory: the smaller of its two limits counts.
    size["table"] = min(size.pop("tmp_table_size"), size.pop("max_heap_table_size"))
    assert sum(size.values()) + THREAD_STACK <= MEMORY_PER_CONNECTION


def test_the_application_finds_the_socket_of_the_server() -> None:
    host = role("application", "defaults")["application_database_host"]
    assert found(r"'(/[^']*)'", host) == role("database")["database_socket"]


# -- Gunicorn and nginx ---------------------------------------------------------------------------


def test_nginx_gives_up_an_idle_connection_before_gunicorn_does() -> None:
    nginx = int(found(r"(?m)^\s*keepalive_timeout (\d+)s;$", SITE))
    assert nginx < constant(TEMPLATE / "gunicorn.conf.py", "keepalive")


def test_one_port_is_gunicorns_everywhere() -> None:
    port = role("application", "defaults")["application_port"]
    files = [path for path in ROLES.rglob("*") if path.suffix in (".yml", ".j2")]
    guessed = re.findall(
        r"application_port \| default\((\d+)\)", "".join(path.read_text() for path in files)
    )
    assert guessed
    assert {int(each) for each in guessed} == {port}
    bound = found(r'"GUNICORN_BIND", "127\.0\.0\.1:(\d+)"', template("gunicorn.conf.py"))
    assert int(bound) == port


def test_gunicorn_believes_the_header_by_which_nginx_tells_of_https() -> None:
    ((header, value),) = SecureSchemeHeader.default.items() & {("X-FORWARDED-PROTO", "https")}
    sent = {name.upper() for name in re.findall(r"proxy_set_header (\S+) \$scheme;", SITE)}
    assert sent == {header}
    probe = role("application")["application_headers"]
    assert {name.upper(): each for name, each in probe.items()}[header] == value


def test_metrics_are_hidden_from_whom_nginx_passes_on() -> None:
    # ops/probes.py takes a request with this header for one from outside.
    header = found(r'"HTTP_(\w+)" in request\.META', template("ops/probes.py"))
    assert header.replace("_", "-") in {
        name.upper() for name in re.findall(r"proxy_set_header (\S+) ", SITE)
    }


def test_nginx_sends_these_headers_and_adds_none_for_the_client() -> None:
    lines = re.findall(r"(?m)^( *)(proxy_set_header|add_header) (\S+) (.+);$", SITE)
    assert [(directive, name, value) for _, directive, name, value in lines] == [
        ("proxy_set_header", "Connection", '""'),
        ("proxy_set_header", "Host", "$host"),
        ("proxy_set_header", "X-Forwarded-For", "$remote_addr"),
        ("proxy_set_header", "X-Forwarded-Proto", "$scheme"),
        ("proxy_set_header", "X-Request-ID", "$request_id"),
    ]
    # A location that sets one of its own would lose all of them.
    assert {indent for indent, *_ in lines} == {"    "}


def test_nginx_caches_what_django_calls_static() -> None:
    url = found(r'(?m)^STATIC_URL = "(.*)"$', template("config/settings.py"))
    assert f"location /{url} {{" in SITE


# -- the service ----------------------------------------------------------------------------------


def test_every_variable_of_the_service_is_read_by_the_project() -> None:
    written = set(re.findall(r"(?m)^    '([A-Z_]+)': ", ENVIRONMENT))
    assert {"SECRET_KEY", "DB_PASSWORD"} <= written
    read = set(re.findall(r'"([A-Z][A-Z_]+)"', template("config/settings.py")))
    gunicorns = {"FORWARDED_ALLOW_IPS"}
    assert written - gunicorns - set(VARIABLES) <= read
    documented = template(".env.example")
    assert [name for name in written - set(VARIABLES) if name not in documented] == []


def test_numbers_of_an_inventory_are_called_as_the_budget_reads_them() -> None:
    assert found(r"(?m)^([A-Z_]+)\{\{ name \| upper \}\}=", ENVIRONMENT) == PREFIX


def test_the_service_asks_for_paths_that_the_project_answers() -> None:
    answered = set(re.findall(r'(?m)^    "(/\w+)": ', template("ops/probes.py")))
    assert role("application", "defaults")["application_health_path"] in answered
    measure = (ROLES / "application/tasks/measure.yml").read_text()
    assert found(r"url: http://\{\{ application_listen \}\}(/\w+)", measure) in answered


def test_a_check_of_the_limits_asks_for_numbers_that_the_project_tells() -> None:
    measure = (ROLES / "application/tasks/measure.yml").read_text()
    asked = set(re.findall(r"application_gauges\.(\w+)", measure))
    assert asked
    told = found(r'for limit in (\(".*"\)):', template("ops/metrics.py"))
    assert asked <= set(ast.literal_eval(told))


def test_the_units_start_what_the_project_has() -> None:
    files = [*(ROLES / "application").rglob("*.j2"), *(ROLES / "application/tasks").iterdir()]
    commands = "".join(path.read_text() for path in files)
    assert (TEMPLATE / "manage.py").is_file()
    modules = set(re.findall(r"(?m)bin/gunicorn .*?([a-z]\w*(?:\.\w+)+)$", commands))
    assert modules
    for module in modules:
        assert (TEMPLATE / (module.replace(".", "/") + ".py")).is_file(), module
    apps = re.findall(r'(?m)^    "(django\.contrib\.\w+)",$', template("config/settings.py"))
    known = {
        command
        for package in ("django.core", *apps)
        for folder in import_module(package).__path__
        for command in find_commands(f"{folder}/management")
    }
    used = set(re.findall(r"manage\.py (\w+)", commands))
    assert {"migrate", "clearsessions"} <= used <= known


def test_the_lock_file_has_one_name() -> None:
    written = found(r"--output-file (\S+) ", template("Makefile"))
    assert written == constant(PLAN_ACTION, "LOCKFILE")
    release = (ROLES / "application/tasks/release.yml").read_text()
    assert f'/{written}"' in release


def test_a_host_that_the_role_takes_has_a_python_that_the_project_takes() -> None:
    needed = min(re.findall(r'requires-python = ">=(3\.\d+)"', template("pyproject.toml")))
    preflight = (ROLES / "application/tasks/preflight.yml").read_text()
    assert found(r"python_version is version\('(3\.\d+)', '>='\)", preflight) == needed


# -- deploying ------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_projects_inventory_has_the_groups_and_options_of_the_roles(environment: str) -> None:
    folder = f"deploy/inventories/{environment}"
    groups = set(re.findall(r"(?m)^\[(\w+)\]$", template(f"{folder}/hosts.ini")))
    assert groups == set(constant(PLAN_ACTION, "ROLES").values()) - {"all"}
    options = {
        name
        for path in ROLES.glob("*/meta/argument_specs.yml")
        for name in yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    }
    given = template(f"{folder}/group_vars/all/main.yml")
    assert set(re.findall(r"(?m)^(\w+):", given)) <= options


def test_a_projects_playbooks_are_the_collections() -> None:
    for path in TEMPLATE.glob("deploy/*.yml"):
        for name in re.findall(r"import_playbook: django_budget\.deploy\.(\w+)", path.read_text()):
            assert (COLLECTION / f"playbooks/{name}.yml").is_file(), path.name


def test_a_project_installs_an_ansible_that_the_collection_takes() -> None:
    oldest = found(r"ansible-core>=([\d.]+)", template("deploy/requirements.txt"))
    required = yaml.safe_load(text("ansible/meta/runtime.yml"))["requires_ansible"]
    assert required.removeprefix(">=").removesuffix(".0") == oldest


# -- the distributions ----------------------------------------------------------------------------


def test_a_distribution_that_the_host_role_accepts_is_named_wherever_they_are_named() -> None:
    oldest = yaml.safe_load(text("ansible/roles/host/vars/main.yml"))["host_oldest"]
    for file in sorted(ROLES.glob("*/meta/main.yml")):
        platforms = yaml.safe_load(file.read_text())["galaxy_info"]["platforms"]
        assert {platform["name"] for platform in platforms} == oldest.keys(), file
    pages = (
        "README.md",
        "CONTRIBUTING.md",
        "ansible/README.md",
        "docs/tutorial/first-deployment.md",
    )
    for page in pages:
        for distribution, release in oldest.items():
            assert f"{distribution} {release}" in text(page), page
