"""`make soak` itself: a small one is kept, and each broken promise fails it."""

import subprocess
import sys
from copy import deepcopy

import pytest

from packages.mysql_pool.tests import soak
from tests.places import REPOSITORY

ROUND = {
    **{"requests": 1000, "per_second": 500.0, "answered": 700, "wrong": [], "lost": 0},
    **{"ended": {"killed": 200, "timed out": 100}, "interrupted": 30, "leaked": 5, "created": 50},
    **{"files": 6, "threads": 1, "greenlets": 3, "ended and kept": 0},
    **{"objects": 60_000, "memory": 70_000_000},
}


@pytest.fixture
def report():
    """A soak in which every promise was kept."""
    rounds = [deepcopy(ROUND), deepcopy(ROUND)]
    return {"driver": "pymysql", "release": "request", "most": soak.BOUND, "rounds": rounds}


def test_what_was_kept_is_said(report):
    assert soak.failures(report) == []
    assert soak.table([report]).endswith("Kept.")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"wrong": ["7 got the answer of 8"]}, "7 got the answer of 8"),
        ({"lost": 1}, "1 slots lost"),
        ({"ended": {"killed": 9, "timed out": 9, "PoolTimeout: no": 2}}, "2 requests ended with"),
        ({"interrupted": 0}, "nothing was interrupted"),
        ({"files": 7}, "files: 6 after the warm-up, 7 at the end"),
        ({"threads": 20}, "threads: 1 after"),
        ({"greenlets": 30}, "greenlets: 3 after"),
        ({"ended and kept": 1}, "ended and kept: 0 after"),
        ({"objects": 62_000}, "objects: 60000 after"),
        ({"memory": 75_000_000}, "memory grew from 70.0 to 75.0 MB"),
    ],
)
def test_each_broken_promise_is_named(report, change, complaint):
    report["rounds"][-1] |= change
    assert complaint in " ".join(soak.failures(report))
    assert "FAILED" in soak.table([report])


def test_a_connection_too_many_is_named(report):
    report["most"] = soak.BOUND + 1
    assert soak.failures(report) == ["the server saw 11 connections, 10 allowed"]


@pytest.mark.full
@pytest.mark.server
def test_a_small_one_runs_to_its_end():
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "packages.mysql_pool.tests.soak",
                "--requests",
                "1500",
                "--seed",
                "1",
            ),
            *("--driver", "pymysql", "--release", "transaction"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 1" in done.stdout
    assert "1,500 of 1,500" in done.stdout
