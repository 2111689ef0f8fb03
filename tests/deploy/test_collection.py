"""The collection is whole: the budget's files, the roles' options, what a project carries.

No host is needed here; tests/lab deploys to some.
"""

import pytest
import yaml

from tests.places import REPOSITORY, TEMPLATE

COLLECTION = REPOSITORY / "ansible"
CARRIED = TEMPLATE / "deploy/collections/ansible_collections/django_budget/deploy"
ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir())
# Options without a default: the user's own, or another role's that this one only reads.
NO_DEFAULT = {
    "application_name",
    "application_rollback_to",
    "application_secret_key",
    "application_source",
    "application_version",
    "plan_address",
}


def options(role):
    """Option -> its entry in the role's argument specs."""
    text = (COLLECTION / f"roles/{role}/meta/argument_specs.yml").read_text()
    return yaml.safe_load(text)["argument_specs"]["main"]["options"]


def defaults(role):
    path = COLLECTION / f"roles/{role}/defaults/main.yml"
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def test_project_carries_the_collection_without_a_second_budget():
    assert not (CARRIED / "plugins/plugin_utils").exists()
    carried = {path.name for path in CARRIED.iterdir()}
    assert carried >= {"galaxy.yml", "meta", "playbooks", "plugins", "roles", "README.md"}


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_an_option_and_every_option_has_a_default(role):
    declared = options(role)
    assert set(defaults(role)) <= set(declared)
    without = set(declared) - set(defaults(role))
    secrets = {name for name in without if name.startswith("database_password_")}
    assert without - secrets <= NO_DEFAULT


@pytest.mark.parametrize("role", ROLES)
def test_every_option_is_described(role):
    for name, option in options(role).items():
        assert option.get("description"), name
        assert option.get("type"), name


@pytest.mark.parametrize("role", ROLES)
def test_defaults_have_the_type_that_is_declared(role):
    types = {"str": str, "path": str, "int": int, "bool": bool, "list": list, "dict": dict}
    for name, value in defaults(role).items():
        if isinstance(value, str) and "{{" in value:
            continue  # known only when it runs
        assert isinstance(value, types[options(role)[name]["type"]]), name
