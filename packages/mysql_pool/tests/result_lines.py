"""A pytest plug-in: where each test begins and how it ends, as lines of JSON in $RESULT_LINES.

Written at once, so that a session that dies leaves what it has found out; see variants.py, which
reads them. It is no report for people.
"""

import json
import os

import pytest

_lines = os.open(os.environ["RESULT_LINES"], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def _tell(**line: str) -> None:
    os.write(_lines, json.dumps(line).encode() + b"\n")


def _name(nodeid: str) -> str:
    """``test_faults.py::test_x``, without the folder, which is always the same."""
    return nodeid.rpartition("/")[2]


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A module that cannot be imported has no tests that could fail."""
    if report.failed:
        _tell(event="ended", name=_name(report.nodeid), outcome="failed", text=_text(report))


def pytest_runtest_logstart(nodeid: str) -> None:
    """Known also when the test never ends."""
    _tell(event="begun", name=_name(nodeid))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test may fail twice: by itself, and in what clears up after it."""
    name = _name(report.nodeid)
    if report.failed:
        where = "" if report.when == "call" else f" ({report.when})"
        _tell(event="ended", name=name + where, outcome="failed", text=_text(report))
    elif report.skipped:
        _tell(event="ended", name=name, outcome="skipped", text=_reason(report))
    elif report.when == "call":
        _tell(event="ended", name=name, outcome="passed", text="")


def _text(report: pytest.CollectReport | pytest.TestReport) -> str:
    sections = [f"--- {title} ---\n{content}" for title, content in report.sections]
    return "\n".join([report.longreprtext, *sections])


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return reason.removeprefix("Skipped: ")
