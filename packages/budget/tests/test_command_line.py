"""`python -m budget` as a person or a program calls it, and the page of rules it prints."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from budget import plan
from budget.fields import FIELDS
from budget.plan import Budget
from tests.places import REPOSITORY

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs `python -m budget` on a file that has only what the test wrote into it."""
    file = tmp_path / "budget.toml"

    def run(*arguments: str, toml: str = "", **environ: str) -> Result:
        file.write_text(toml)
        return subprocess.run(
            [sys.executable, "-m", "budget", *arguments],
            env={"PATH": os.environ["PATH"], "BUDGET_FILE": str(file), **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def in_a_terminal(*arguments: str, **environ: str) -> str:
    """What `python -m budget` writes to a terminal."""
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "budget", *arguments]
    with subprocess.Popen(command, env=environ, stdout=terminal):
        os.close(terminal)
        out = b""
        # Linux ends a terminal without writers with EIO, others with an empty read.
        with suppress(OSError):
            while more := os.read(master, 4096):
                out += more
    os.close(master)
    return out.decode()


def test_a_budget_that_fits_is_a_table_with_every_limit(run: Callable[..., Result]) -> None:
    result = run()
    assert (result.returncode, result.stderr) == (0, "")
    assert "Connection budget of budget.toml: fits" in result.stdout
    for limit in plan.plan(Budget()).limits:
        (row,) = re.findall(rf"^  {re.escape(limit.name)}  .*$", result.stdout, re.MULTILINE)
        assert str(limit.value) in row
        assert f"{limit.rule_id} {limit.rule}" in row
        assert limit.enforced_by in row
        assert row.endswith(limit.left)


def test_it_says_what_binds_and_how_many_hosts_can_be_added(run: Callable[..., Result]) -> None:
    out = run("--max-connections", "300", "--memory-mb", "4096", "--hosts", "2").stdout
    assert "binds   max_connections: the guaranteed mode would take 611" in out
    assert "hosts   0 more with pools of 48; 141 more with pools of 1" in out
    out = run("--worker-class", "sync").stdout
    assert "guaranteed: one for each request" in out
    assert "binds   worker_class: " in out


def test_what_if_shows_the_values_that_change(run: Callable[..., Result]) -> None:
    result = run("--hosts", "6", toml="[application]\nhosts = 2\n")
    assert "with hosts = 6  (what if), now 2" in result.stdout
    (row,) = re.findall(r"^  pool size .*$", result.stdout, re.MULTILINE)
    assert row.split()[3:6] == ["10", "connections", "23"]


def test_an_override_by_the_environment_is_named(run: Callable[..., Result]) -> None:
    assert "with workers = 4  (BUDGET_WORKERS)" in run(BUDGET_WORKERS="4").stdout


def test_every_field_is_an_option(run: Callable[..., Result]) -> None:
    for name, field in FIELDS.items():
        option = f"--{name.replace('_', '-')}"
        value = "gthread" if name == "worker_class" else str(field.default)
        result = run(option, value, "--json")
        assert result.returncode == 0, result.stderr
        assert str(json.loads(result.stdout)["budget"][name]) == value


def test_what_does_not_fit_ends_with_1_and_names_value_rule_and_fix(
    run: Callable[..., Result],
) -> None:
    result = run("--workers", "90", toml="[server]\nmax_connections = 100\n")
    assert (result.returncode, result.stderr) == (1, "")
    assert "does not fit, 1 problem" in result.stdout
    assert "B020 max_connections = 100 (budget.toml, line 2)" in result.stdout
    assert "Set max_connections = 191, or workers = 44." in result.stdout


def test_json_is_for_programs_either_way(run: Callable[..., Result]) -> None:
    fits = json.loads(run("--json").stdout)
    assert fits["fits"] is True
    assert fits["pool_size"] == 35
    assert fits["server_options"]["max_connections"] == "151"
    assert len(fits["limits"]) > 20
    refused = run("--json", toml="[server]\nmax_connections = 2026-01-01\n")
    assert refused.returncode == 1
    (problem,) = json.loads(refused.stdout)["problems"]
    assert (problem["id"], problem["change"]) == ("B003", {"max_connections": 151})


@pytest.mark.parametrize(
    "arguments",
    [
        ("--hosts", "٣"),
        ("--hosts", "1e3"),
        ("--hosts", " 5"),
        ("--hosts", ""),
        ("--host", "3"),
        ("--worker-class", "eventlet"),
        ("--nonsense",),
        ("budget.toml",),
    ],
)
def test_wrong_usage_ends_with_2(run: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "python -m budget: error: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "toml", "environ"),
    [
        (("--file", "/none"), "", {}),
        (("--file", "/"), "", {}),
        (("--file", "\x1b[31m\udcff"), "", {"PYTHONIOENCODING": "ascii"}),
        ((), "[server", {}),
        ((), "[server]\nreserved = '٣'\n", {"PYTHONIOENCODING": "ascii"}),
        ((), "", {"BUDGET_HOSTS": "\udcff"}),
        (("--hosts", "9" * 17), "", {}),
    ],
)
def test_bad_input_is_a_message_not_a_traceback(
    run: Callable[..., Result], arguments: tuple[str, ...], toml: str, environ: dict[str, str]
) -> None:
    result = run(*arguments, toml=toml, **environ)
    assert (result.returncode, result.stderr) == (1, "")
    assert "does not fit" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_reader_that_leaves_early_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "budget", "--rules"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("environ", "arguments", "coloured"),
    [
        ({}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({"NO_COLOR": ""}, (), True),
        ({"TERM": "dumb"}, (), False),
        ({}, ("--no-color",), False),
    ],
)
def test_colours_only_where_they_are_wanted(
    tmp_path: Path, environ: dict[str, str], arguments: tuple[str, ...], coloured: bool
) -> None:
    (tmp_path / "budget.toml").touch()
    environ = {"TERM": "xterm", "BUDGET_FILE": str(tmp_path / "budget.toml"), **environ}
    for command in (["--workers", "80"], []):
        assert ("\x1b[" in in_a_terminal(*command, *arguments, **environ)) is coloured


def test_the_table_is_folded_for_a_narrow_terminal(tmp_path: Path) -> None:
    (tmp_path / "budget.toml").touch()
    out = in_a_terminal("--no-color", COLUMNS="90", BUDGET_FILE=str(tmp_path / "budget.toml"))
    table = out.partition("  limit ")[2]
    assert "B020 min(100 requests" in table
    assert max(map(len, table.splitlines())) <= 90


def test_the_page_of_rules_is_up_to_date(run: Callable[..., Result]) -> None:
    page = (REPOSITORY / "docs/reference/budget.md").read_text(encoding="utf-8")
    assert run("--rules", PYTHONIOENCODING="utf-8").stdout == page, (
        "print it anew: python -m budget --rules > docs/reference/budget.md"
    )


def test_the_package_needs_nothing_but_the_standard_library() -> None:
    for path in Path(plan.__file__).parent.rglob("*.py"):
        imported = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        assert set(imported) <= {"budget", *sys.stdlib_module_names}
