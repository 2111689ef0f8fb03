"""What a run has measured, and its JSON file. Times are seconds."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

PACKAGES = (
    *("django", "gunicorn", "gevent", "pymysql", "mysqlclient", "sqlalchemy"),
    *("django-db-connection-pool", "django-db-geventpool", "django-db-pooling"),
)


@dataclass(frozen=True)
class Measurement:
    """One cell on one peer in one round; ``cpu``, ``statements``, ``connects`` are per request."""

    peer: str
    cell: str
    workload: str
    clients: int
    keep_alive: bool
    round: int
    requests: int
    per_second: float
    p50: float
    p99: float
    cpu: float
    statements: float
    connects: float
    most_connections: int
    failed: int
    errors: dict[str, int]


@dataclass(frozen=True)
class Fairness:
    peer: str
    round: int
    unluckiest: float
    slowest_first: float
    requests: int


@dataclass(frozen=True)
class Reloads:
    """What clients and server saw while a peer's workers were replaced ``times`` times."""

    peer: str
    times: int
    requests: int
    failed: int
    most_connections: int
    looks: int


@dataclass
class Run:
    """Everything of one run. ``broken`` names a peer, or a peer and a cell, and its error."""

    about: dict[str, str] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    fairness: list[Fairness] = field(default_factory=list)
    micro: dict[str, dict[str, float]] = field(default_factory=dict)
    reloads: list[Reloads] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Run":
        seen = json.loads(path.read_text())
        seen["measurements"] = [Measurement(**m) for m in seen["measurements"]]
        seen["fairness"] = [Fairness(**f) for f in seen["fairness"]]
        seen["reloads"] = [Reloads(**r) for r in seen.get("reloads", [])]
        return cls(**seen)

    def cells(self) -> list[str]:
        """Their names, in the order in which they were measured."""
        return list(dict.fromkeys(m.cell for m in self.measurements))

    def of(self, peer: str, cell: str) -> list[Measurement]:
        """One for each round; empty if it was not measured."""
        return [m for m in self.measurements if (m.peer, m.cell) == (peer, cell)]

    def value(self, peer: str, cell: str, what: str) -> float | None:
        """The median over the rounds; the maximum of what must never be passed."""
        values = [getattr(m, what) for m in self.of(peer, cell)]
        if not values:
            return None
        if what == "most_connections":
            return max(values)
        return sum(values) if what in ("failed", "requests") else statistics.median(values)

    def ratios(self, peer: str, other: str, cell: str, what: str = "per_second") -> list[float]:
        """``peer`` against ``other``, round by round: neighbours in time."""
        theirs = {m.round: getattr(m, what) for m in self.of(other, cell)}
        return [
            getattr(m, what) / theirs[m.round] for m in self.of(peer, cell) if theirs.get(m.round)
        ]

    def growth(self, peer: str, few: str, many: str) -> list[float]:
        """CPU of a request of cell ``many`` against one of ``few``, round by round."""
        before = {m.round: m.cpu for m in self.of(peer, few)}
        return [m.cpu / before[m.round] for m in self.of(peer, many) if before.get(m.round)]


def about(server_version: str, python: str) -> dict[str, str]:
    """The machine, and the versions of everything that was measured."""
    script = (
        "import sys, platform\nfrom importlib.metadata import version, PackageNotFoundError\n"
        "print('Python', platform.python_version())\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, version(name))\n"
        "    except PackageNotFoundError: pass\n"
    )
    listed = subprocess.run(
        [python, "-c", script, *PACKAGES], capture_output=True, text=True, check=True
    )
    versions = dict(line.split() for line in listed.stdout.splitlines())
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release().split('-')[0]}",
        "server": server_version,
        **versions,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def middle(values: Iterable[float]) -> float | None:
    """The median, or None of nothing."""
    listed = list(values)
    return statistics.median(listed) if listed else None
