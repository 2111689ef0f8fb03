"""The collection is built and installed as its users do it, and its budget works there."""

import subprocess
import sys

import pytest

from tests.places import REPOSITORY

SELF = "ansible_collections/django_budget/deploy"


def check_installed(inventory, folder):
    """Everything is there as files of its own, and computes a plan away from the repository."""
    installed = folder / SELF
    assert not [path for path in installed.rglob("*") if path.is_symlink()]
    budget = installed / "plugins/plugin_utils"
    run = subprocess.run(
        [sys.executable, "-m", "budget", "--file", "/dev/null", "--json"],
        cwd=budget,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    listed = inventory.run(["ansible-doc", "-t", "role", "-l", "-M", str(folder)])
    assert listed.returncode == 0, listed.stderr
    for role in (REPOSITORY / "ansible/roles").iterdir():
        assert (installed / "roles" / role.name / "meta/argument_specs.yml").is_file()


def test_built_archive_installs_with_the_budget_in_it(inventory, tmp_path):
    build = ["ansible-galaxy", "collection", "build", "--output-path", str(tmp_path)]
    built = inventory.run([*build, str(REPOSITORY / "ansible")])
    assert built.returncode == 0, built.stderr
    (archive,) = tmp_path.glob("django_budget-deploy-*.tar.gz")
    place = tmp_path / "collections"
    install = ["ansible-galaxy", "collection", "install", "--force", "--offline", str(archive)]
    installed = inventory.run([*install, "-p", str(place)])
    assert installed.returncode == 0, installed.stderr
    check_installed(inventory, place)


def test_collection_installs_from_git(inventory, tmp_path):
    inside = ["git", "-C", REPOSITORY, "rev-parse", "--git-dir"]
    if subprocess.run(inside, capture_output=True, check=False).returncode:
        pytest.skip("this copy of the repository has no git history")
    # What is committed: an installation from git gets nothing else.
    bare = tmp_path / "repository.git"
    subprocess.run(["git", "clone", "-q", "--bare", REPOSITORY, bare], check=True)
    place = tmp_path / "collections"
    install = ["ansible-galaxy", "collection", "install", "--force", f"git+file://{bare}#/ansible/"]
    installed = inventory.run([*install, "-p", str(place)])
    assert installed.returncode == 0, installed.stderr
    check_installed(inventory, place)
