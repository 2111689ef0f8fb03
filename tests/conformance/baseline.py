"""The stock backend's outcomes, kept from one run to the next: they do not change with our code."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from localserver.server import Server

from . import source
from .run import Outcome, Outcomes


def path(django: Path, driver: str, python: Path, server: Server, conditions: list[str]) -> Path:
    """Where they are; the name holds everything that they depend on."""
    folder = source.cache_folder() / "results"
    folder.mkdir(exist_ok=True)
    rest = hashlib.sha256(repr(conditions).encode())
    for inside in sorted((source.HERE / "inside").glob("*.py")):
        rest.update(inside.read_bytes())
    parts = [
        django.name,
        f"{driver}-{source.installed(python, driver)}",
        f"{server.programs.flavour}-{'.'.join(map(str, server.programs.version))}",
        f"python-{'.'.join(map(str, source.python_version(str(python))))}",
        rest.hexdigest()[:8],
    ]
    return folder / ("_".join(parts) + ".json")


def read(path: Path) -> Outcomes | None:
    """The outcomes of an earlier run, or None if there was none like this."""
    if not path.exists():
        return None
    return {test: Outcome(**values) for test, values in json.loads(path.read_text()).items()}


def write(path: Path, outcomes: Outcomes) -> None:
    """Keep them for the next run."""
    path.write_text(json.dumps({test: asdict(outcome) for test, outcome in outcomes.items()}))
