"""Load from wrk: written in C, so that on a small machine the server is what is measured."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 60  # seconds; a request that hangs is to be seen as such, not cut off by the client
SCRIPT = Path(__file__).with_name("done.lua")


class LoadError(RuntimeError):
    """wrk could not run; the text says why."""


@dataclass(frozen=True)
class Outcome:
    """What the clients of one run saw; times in seconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    slowest: float
    failed: int
    """Answers of 400 and above, and connections that broke."""


def run(url: str, *, clients: int, seconds: float, keep_alive: bool = True) -> Outcome:
    """Send requests from ``clients`` clients, each waiting for its answer, for ``seconds``.

    Raises `LoadError` when wrk itself fails.
    """
    close = () if keep_alive else ("-H", "Connection: close")
    command = [
        "wrk",
        "-t1",
        f"-c{clients}",
        f"-d{max(round(seconds), 1)}s",
        f"--timeout={TIMEOUT}s",
    ]
    done = subprocess.run(
        [*command, *close, "-s", str(SCRIPT), url], capture_output=True, text=True, check=False
    )
    report = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not report:
        raise LoadError(f"wrk failed: {done.stdout}{done.stderr}")
    return read(report[0])


def read(line: str) -> Outcome:
    """What ``done.lua`` printed."""
    seen = json.loads(line)
    broken = sum(seen[kind] for kind in ("connect", "read", "write", "timeout"))
    return Outcome(
        requests=seen["requests"],
        seconds=seen["microseconds"] / 1e6,
        p50=seen["p50"] / 1e6,
        p99=seen["p99"] / 1e6,
        slowest=seen["slowest"] / 1e6,
        failed=seen["refused"] + broken,
    )
