"""Starts `benchmarks.micro` for a peer and keeps what it prints."""

import json
import os
import subprocess

from benchmarks.peers import Peer
from benchmarks.results import Run
from benchmarks.serving import REPOSITORY, TEMPLATE

#: Both drivers, and Django's own backend as what they are compared with.
MEASURED = ("ours-pymysql", "ours-mysqlclient", "stock-60")
TIMEOUT = 120  # seconds


def measure(peer: Peer, python: str, socket: str, run: Run) -> None:
    """Run it in a process of its own; what fails is noted as broken."""
    done = subprocess.run(
        [python, "-m", "benchmarks.micro"],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "BENCH_PEER": peer.name,
            "BENCH_SOCKET": socket,
            "PYTHONPATH": f"{REPOSITORY}:{TEMPLATE}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode:
        run.broken[f"{peer.name} inside one process"] = done.stderr.strip().splitlines()[-1]
    else:
        run.micro[peer.name] = json.loads(done.stdout)
