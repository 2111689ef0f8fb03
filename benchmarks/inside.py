"""Starts `benchmarks.micro` for a peer and keeps what it prints."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers import Peer
from benchmarks.results import Run
from benchmarks.serving import REPOSITORY, TEMPLATE

#: Both drivers, and Django's own backend as what they are compared with.
MEASURED = ("ours-pymysql", "ours-mysqlclient", "stock-60")
TIMEOUT = 120  # seconds


def measure(peer: Peer, python: str, socket: str, run: Run, ca: Path | None = None) -> None:
    """Run it in a process of its own; what fails is noted as broken.

    ``ca``: only connect, with TLS, to a server whose certificate this authority signed.
    """
    try:
        done = subprocess.run(
            [python, "-m", "benchmarks.micro"],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "BENCH_PEER": peer.name,
                "BENCH_SOCKET": socket,
                "PYTHONPATH": f"{REPOSITORY}:{TEMPLATE}",
                "PYTHONDONTWRITEBYTECODE": "1",
                **({"BENCH_CA": str(ca)} if ca else {}),
            },
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        run.broken[f"{peer.name} inside one process"] = f"not done within {TIMEOUT} s"
        return
    if done.returncode:
        run.broken[f"{peer.name} inside one process"] = done.stderr.strip().splitlines()[-1]
    else:
        run.micro.setdefault(peer.name, {}).update(json.loads(done.stdout))


def certificate(folder: Path) -> Path | None:
    """A certificate (with its key beside it) that signs itself; None without openssl."""
    if not shutil.which("openssl"):
        return None
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate
