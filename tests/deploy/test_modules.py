"""What the modules make of what programs print, where no server is needed for it."""

import importlib
import os
import re
import socket
import time
from types import SimpleNamespace

import pytest

from tests.places import REPOSITORY

COLLECTIONS = REPOSITORY / "{{cookiecutter.project_slug}}/deploy/collections"


@pytest.fixture
def module(monkeypatch):
    """``module(name)``: one of the collection's modules, imported."""
    monkeypatch.syspath_prepend(str(COLLECTIONS))
    return lambda name: importlib.import_module(
        f"ansible_collections.django_budget.deploy.plugins.modules.{name}"
    )


def test_values_after_a_restart_are_the_last_of_all_files(module):
    at_start = module("server_variables").at_start
    defaults = (
        "mariadbd would have been started with the following arguments:\n"
        "--max_connections=151 --init-connect=SET NAMES utf8mb4 --skip-name-resolve "
        "--skip-slow-query-log --loose-innodb_buffer_pool_size=1G --max-connections=500"
    )
    assert at_start(defaults, {}) == {
        "init_connect": "SET NAMES utf8mb4",
        "innodb_buffer_pool_size": "1G",
        "max_connections": "500",
        "skip_name_resolve": "ON",
        "slow_query_log": "OFF",
    }
    # MySQL reads what SET PERSIST has written after them.
    assert at_start(defaults, {"max_connections": "99"})["max_connections"] == "99"


@pytest.mark.parametrize(
    ("name", "wanted", "running", "good"),
    [
        ("innodb_buffer_pool_size", "1G", str(1024**3), True),
        ("max_connections", "101", "151", False),
        ("back_log", "101", "151", True),
        ("back_log", "151", "101", False),
        ("bind_address", "127.0.0.1", "127.0.0.1,10.0.0.2", True),
        ("bind_address", "127.0.0.1,10.0.0.2", "127.0.0.1", False),
        ("bind_address", "127.0.0.1", "0.0.0.0", False),
        ("max_connections", "101", None, False),
    ],
)
def test_more_than_wanted_is_right_where_less_is_not_worth_a_restart(
    module, name, wanted, running, good
):
    agrees = module("server_variables").agrees
    assert agrees(name, wanted, running, at_least=["back_log", "bind_address"]) == good


def test_backlog_is_that_of_the_address_and_not_only_of_the_port(module, monkeypatch):
    listening = (
        "LISTEN 0 511 0.0.0.0:80 0.0.0.0:*\n"
        "LISTEN 0 200 127.0.0.1:8000 0.0.0.0:*\n"
        "LISTEN 0 80 [::]:22 [::]:*\n"
    )
    ss = SimpleNamespace(run_command=lambda *_, **__: (0, listening, ""))
    backlog = module("service").backlog
    assert backlog(ss, "127.0.0.1:8000") == 200
    assert backlog(ss, "10.0.0.12:8000") == -1


def test_file_that_was_changed_after_the_start_is_found(module, tmp_path):
    old, young = tmp_path / "old", tmp_path / "young"
    for file in (old, young):
        file.touch()
    started = time.time() - 60
    os.utime(old, (started - 5, started - 5))
    properties = {"ExecMainStartTimestampMonotonic": str(int((time.monotonic() - 60) * 1e6))}
    files = [str(old), str(young), str(tmp_path / "none")]
    assert module("service").newer(files, properties) == [str(young)]


def listener():
    """A socket of this process that listens on some port."""
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    found.listen()
    return found


def test_port_that_somebody_else_has_is_refused(inventory):
    with listener() as taken:
        port = taken.getsockname()[1]
        check = {
            "hosts": "nginx",
            "tasks": [
                {
                    "ansible.builtin.include_role": {
                        "name": "django_budget.deploy.host",
                        "tasks_from": "preflight",
                    },
                    "vars": {"host_ports": [port], "host_program": "nginx"},
                }
            ],
        }
        message = inventory.refused([check])
    assert re.search(
        rf"web1: py\S+ listens on 127.0.0.1:{port}: end that program, or choose another port",
        message,
    )
