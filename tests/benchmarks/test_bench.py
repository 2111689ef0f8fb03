"""The benchmark's own machinery: what it measures on a tiny scale, what it says of a failure."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import goals, plots, report
from benchmarks.load import read
from benchmarks.results import Fairness, Measurement, Run
from tests.places import REPOSITORY


def measurement(peer: str, round_number: int, per_second: float, **changes) -> Measurement:
    values = {
        **{"cell": "row/keep/80", "workload": "row", "clients": 80, "keep_alive": True},
        **{"requests": 1000, "p50": 0.01, "p99": 0.02, "cpu": 5e-4, "statements": 1.0},
        **{"connects": 0.0, "most_connections": 40, "failed": 0, "errors": {}},
        **changes,
    }
    return Measurement(peer=peer, round=round_number, per_second=per_second, **values)


@pytest.fixture
def run() -> Run:
    return Run(
        about={"machine": "a machine"},
        measurements=[
            measurement("ours-pymysql", 0, 1600),
            measurement("sqlalchemy", 0, 1000),
            measurement("sqlalchemy", 1, 500, failed=3, errors={"OperationalError: gone": 3}),
            measurement("ours-pymysql", 1, 900),
        ],
        fairness=[Fairness("ours-pymysql", 0, 0.8, 0.2, 5000)],
        broken={"db-pooling": "ImportError: no such thing"},
    )


def test_ratios_are_of_neighbours_in_time(run: Run) -> None:
    assert run.ratios("ours-pymysql", "sqlalchemy", "row/keep/80") == [1.6, 1.8]


def test_errors_and_broken_peers_are_in_the_report(run: Run) -> None:
    text = report.text(run)
    assert "sqlalchemy: 3 x OperationalError: gone" in text
    assert "db-pooling: ImportError: no such thing" in text


def test_goals_say_reached_missed_and_not_measured(run: Run) -> None:
    verdicts = {v.goal: v.reached for v in goals.verdicts(run)}
    assert verdicts["ours-pymysql row, keep: req/s against SQLAlchemy's pool >= 1.5"] is True
    assert verdicts["ours-pymysql row, new: req/s against SQLAlchemy's pool >= 1.5"] is None
    run.measurements.append(measurement("ours-pymysql", 2, 1, most_connections=41))
    verdicts = {v.goal: v.reached for v in goals.verdicts(run)}
    assert verdicts["most connections with MAX_CONNS 20 x 2: 40"] is False


@pytest.mark.parametrize(
    ("rounds", "reached"),
    [
        ([1600, 1600], True),
        ([1600, 1400], None),
        ([1400, 1600, 1700, 1800], True),
        ([1400, 1400, 1300, 9999], False),
        ([1400, 1400, 1600, 1600], None),
    ],
)
def test_most_rounds_have_to_say_the_same(rounds: list[int], reached: bool | None) -> None:
    run = Run()
    for number, per_second in enumerate(rounds):
        run.measurements.append(measurement("ours-pymysql", number, per_second))
        run.measurements.append(measurement("sqlalchemy", number, 1000))
    verdicts = {v.goal: v.reached for v in goals.verdicts(run)}
    assert verdicts["ours-pymysql row, keep: req/s against SQLAlchemy's pool >= 1.5"] is reached


def test_a_run_survives_its_file(run: Run, tmp_path: Path) -> None:
    run.save(tmp_path / "results.json")
    assert Run.load(tmp_path / "results.json") == run


def test_a_plot_names_every_peer_and_the_errors(run: Run, tmp_path: Path) -> None:
    (path,) = plots.draw(run, tmp_path)
    picture = path.read_text()
    assert "ours-pymysql" in picture
    assert "3 errors" in picture


def test_every_way_a_request_can_fail_counts() -> None:
    line = {"requests": 10, "microseconds": 2e6, "p50": 1000, "p99": 2000, "slowest": 3000}
    failed = {"refused": 1, "connect": 2, "read": 3, "write": 4, "timeout": 5}
    outcome = read(json.dumps({**line, **failed}))
    assert (outcome.failed, outcome.seconds, outcome.p99) == (15, 2.0, 0.002)


@pytest.mark.full
@pytest.mark.server
@pytest.mark.skipif(not shutil.which("wrk"), reason="needs wrk, which `make bench` installs")
def test_a_tiny_run_compares_two_peers_and_reports_the_one_that_breaks(tmp_path: Path) -> None:
    # This Python has no django_db_pooling, so that peer breaks as a real one would.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "--python", sys.executable),
            *("--peers", "ours-pymysql,stock-60,db-pooling", "--workloads", "row"),
            *("--clients", "8", "--rounds", "1", "--seconds", "1"),
            *("--no-fairness", "--no-micro", "--output", str(tmp_path)),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "- db-pooling: No module named 'django_db_pooling'" in done.stdout
    seen = Run.load(tmp_path / "results.json")
    assert set(seen.cells()) == {"row/keep/8", "row/new/8"}
    for peer in ("ours-pymysql", "stock-60"):
        for cell in seen.cells():
            assert seen.value(peer, cell, "requests") > 0
            assert seen.value(peer, cell, "failed") == 0
    assert 0.8 < seen.value("ours-pymysql", "row/keep/8", "statements") < 1.2
    assert (tmp_path / "row-keep-8.svg").exists()
