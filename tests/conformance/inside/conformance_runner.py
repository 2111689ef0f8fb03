"""A test runner that also writes each test's outcome to a file, one JSON object a line.

The first line is ``{"total": N}``, the last ``{"finished": true}``; between them
``{"test", "status", "why", "subtests"}``. Standard library and Django's runner only.
"""

import json
import os
import unittest
from pathlib import Path

from django.test.runner import DiscoverRunner

FILE = Path(os.environ["CONFORMANCE_OUTCOMES"])


def write(record: dict) -> None:
    with FILE.open("a", encoding="utf-8", errors="backslashreplace") as lines:
        lines.write(json.dumps(record) + "\n")


class Recorder(unittest.TextTestResult):
    """unittest's own result, with a record of every test beside what it prints."""

    _now: dict | None = None

    def startTest(self, test):  # noqa: N802 - unittest's name
        super().startTest(test)
        self._now = {"test": test.id(), "status": "passed", "why": "", "subtests": {}}

    def stopTest(self, test):  # noqa: N802
        super().stopTest(test)
        if self._now is not None:
            write(self._now)
        self._now = None

    def _note(self, test, status, why=""):
        if self._now is None:  # setUpClass, setUpModule: no test was started
            write({"test": test.id(), "status": status, "why": why, "subtests": {}})
        else:
            self._now.update(status=status, why=why)

    def addError(self, test, err):  # noqa: N802
        super().addError(test, err)
        self._note(test, "failed", self.errors[-1][1])

    def addFailure(self, test, err):  # noqa: N802
        super().addFailure(test, err)
        self._note(test, "failed", self.failures[-1][1])

    def addSkip(self, test, reason):  # noqa: N802
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test, err):  # noqa: N802
        super().addExpectedFailure(test, err)
        self._note(test, "expected failure")

    def addUnexpectedSuccess(self, test):  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._note(test, "failed", "unexpected success")

    def addSubTest(self, test, subtest, err):  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None and self._now is not None:
            name = subtest.id().removeprefix(test.id()).strip()
            self._now["status"] = "failed"
            self._now["subtests"][name] = self._exc_info_to_string(err, test)


class Runner(DiscoverRunner):
    """Django's runner with the recorder."""

    def get_resultclass(self):
        return Recorder

    def run_suite(self, suite, **kwargs):
        write({"total": suite.countTestCases()})
        result = super().run_suite(suite, **kwargs)
        write({"finished": True})
        return result
