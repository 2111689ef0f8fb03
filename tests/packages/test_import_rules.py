"""The kind of contract that this repository adds to import-linter: see packages/import_rules.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import REPOSITORY

CONTRACT = """
[tool.importlinter]
root_packages = ["shed", "house"]
include_external_packages = true
contract_types = ["only: packages.import_rules.OnlyContract"]

[[tool.importlinter.contracts]]
name = "the shed stands alone"
type = "only"
packages = ["shed"]
allowed = {allowed}
"""


@pytest.mark.parametrize(
    ("imports", "allowed", "said"),
    [
        ("import json\nimport shed.tools", [], None),
        ("import yaml", [], "shed.tools may not import yaml (line 1: import yaml)"),
        ("import house.door", [], "shed.tools may not import house.door"),
        ("def later():\n    import yaml", [], "shed.tools may not import yaml (line 2"),
        ("import yaml", ["yaml"], None),
        ("import yaml", ["shed.tools -> yaml"], None),
        ("import yaml", ["shed.broom -> yaml"], "shed.tools may not import yaml"),
        ("import json", ["yaml"], "'yaml' is allowed, and nothing imports it"),
    ],
    ids=lambda value: str(value) if isinstance(value, list) else None,
)
def test_a_package_imports_only_what_is_allowed(
    tmp_path: Path, imports: str, allowed: list[str], said: str | None
) -> None:
    for module, text in {"shed/tools": imports, "house/door": ""}.items():
        file = tmp_path / f"{module}.py"
        file.parent.mkdir()
        (file.parent / "__init__.py").touch()
        file.write_text(text + "\n")
    config = tmp_path / "pyproject.toml"
    config.write_text(CONTRACT.format(allowed=allowed))
    ran = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo", config],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}", "COLUMNS": "200"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == (1 if said else 0), ran.stdout + ran.stderr
    assert (said or "1 kept, 0 broken") in " ".join(ran.stdout.split())
