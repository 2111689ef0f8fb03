"""An inventory on this machine, for what the collection does before it changes anything."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from tests.places import TEMPLATE

COLLECTIONS = TEMPLATE / "deploy/collections"
BIN = Path(sys.executable).parent
StrPath = str | os.PathLike[str]
HERE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
}


@dataclass
class Inventory:
    """Hosts that are all this machine, and the project they are for. `vars` are everybody's."""

    PLAN: ClassVar = {
        "hosts": "all",
        "any_errors_fatal": True,
        "roles": ["django_budget.deploy.plan"],
    }
    SECRETS: ClassVar = {
        "application_secret_key": "k" * 50,
        **{
            f"database_password_{account}": f"password of {account}"
            for account in ("application", "migrate", "jobs", "monitor", "rescue")
        },
    }

    folder: Path
    groups: dict[str, list[str]] = field(
        default_factory=lambda: {"database": ["db1"], "application": ["app1"], "nginx": ["web1"]}
    )
    vars: dict[str, Any] = field(default_factory=dict)
    host_vars: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self) -> Path:
        """The inventory, at the place it has in a project."""
        place = self.folder / "deploy/inventories/test"
        place.mkdir(parents=True, exist_ok=True)
        hosts = {host: None for group in self.groups.values() for host in group}
        groups = {name: {"hosts": dict.fromkeys(own)} for name, own in self.groups.items()}
        content = {
            "all": {
                "hosts": {host: HERE | self.host_vars.get(host, {}) for host in hosts},
                "children": groups,
                "vars": self.vars,
            }
        }
        (place / "hosts.yml").write_text(yaml.safe_dump(content))
        return place

    def play(self, playbook: str | list[Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the collection's playbooks by name, or plays."""
        if not isinstance(playbook, str):
            file = self.folder / "playbook.yml"
            file.write_text(yaml.safe_dump(playbook))
            playbook = str(file)
        return self.run(["ansible-playbook", "-i", self.write(), *arguments, playbook])

    def run(self, command: Sequence[StrPath]) -> subprocess.CompletedProcess[str]:
        """One of Ansible's programs, with the collection as a project carries it."""
        environment = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_NOCOLOR": "1",
        }
        return subprocess.run(
            [BIN / command[0], *command[1:]],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def refused(self, playbook: str | list[Any], *arguments: str) -> str:
        """The output of a run that has to be refused without a change, as one line."""
        run = self.play(playbook, *arguments)
        output = run.stdout + run.stderr
        assert run.returncode != 0, output
        assert set(re.findall(r"changed=(\d+)", run.stdout)) <= {"0"}, output
        return re.sub(r"\s+", " ", output)


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    """A project that could be deployed: a commit with a budget and a lock file."""
    (tmp_path / "budget.toml").touch()
    (tmp_path / "requirements.lock").touch()
    # The collection that a project carries has no budget of its own: it runs the project's.
    shutil.copytree(TEMPLATE / "budget", tmp_path / "budget")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "First"]):
        subprocess.run(["git", "-C", tmp_path, *identity, *command], check=True)
    variables = {
        "application_name": "shop",
        "application_hostnames": ["shop.example.com"],
        # This machine may have no default route, or no `ip` that could tell Ansible.
        "plan_address": "192.0.2.1",
    }
    return Inventory(tmp_path, vars=variables | Inventory.SECRETS)


@pytest.fixture
def plan_of(inventory: Inventory) -> Callable[..., dict[str, Any]]:
    """The facts that the role `plan` leaves on db1, for more variables."""

    def facts(**variables: Any) -> dict[str, Any]:
        inventory.vars |= variables
        file = inventory.folder / "facts.json"
        names = ["limits", "release", "addresses", "database_clients", "nginx_is_local"]
        wanted = ", ".join(f"'{name}': plan_{name}" for name in names)
        copy = {"content": f"{{{{ {{{wanted}}} | to_json }}}}", "dest": str(file)}
        run = inventory.play(
            [inventory.PLAN | {"tasks": [{"ansible.builtin.copy": copy, "run_once": True}]}]
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return json.loads(file.read_text())

    return facts
