"""The tables, the list of differences and the progress line. Text only; decides nothing."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping

from .compare import Difference
from .modules import GROUPS
from .run import Outcomes, Run

GROUP_OF = {module: group for group, modules in GROUPS.items() for module in modules.split()}
BOLD, RED, GREEN, PLAIN = "\033[1m", "\033[31m", "\033[32m", "\033[0m"


class Report:
    """Writes to standard output; the progress line goes to standard error if that is a terminal."""

    def __init__(self, *, colour: bool):
        self._colour = colour
        self._progress = sys.stderr.isatty()
        self._told: set[int] = set()

    def paint(self, text: str, code: str) -> str:
        """``text`` in a colour, or as it is."""
        return f"{code}{text}{PLAIN}" if self._colour else text

    def line(self, text: str = "") -> None:
        """One line, at once."""
        self.clear_progress()
        print(text, flush=True)

    # -- while it runs ---------------------------------------------------------------------

    def progress(self, running: list[Run]) -> None:
        """How far each is; a line of its own for each that has ended."""
        for run in running:
            if run.ended() and id(run) not in self._told:
                self._told.add(id(run))
                self.line(f"  {run.variant!s:30} {run.done:6d} tests in {run.seconds:5.0f} s")
        if self._progress:
            parts = [f"{run.variant} {run.done}/{run.total or '?'}" for run in running]
            sys.stderr.write(f"\r\033[K{' · '.join(parts)}"[: os.get_terminal_size(2).columns + 3])
            sys.stderr.flush()

    def clear_progress(self) -> None:
        """Take the progress line away."""
        if self._progress:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    # -- at the end ------------------------------------------------------------------------

    def table(self, variant: str, outcomes: Outcomes, found: Iterable[Difference]) -> None:
        """One variant: tests by group of modules, and all of them."""
        worse = Counter(group_of(one.test) for one in found)
        by_group: dict[str, Counter[str]] = {}
        for test, outcome in outcomes.items():
            by_group.setdefault(group_of(test), Counter())[outcome.status] += 1
        self.line(self.paint(heading(variant), BOLD))
        for group in (*GROUPS, "other"):
            if group in by_group:
                self.row(f"  {group}", by_group[group], worse[group])
        self.row("  all", sum(by_group.values(), Counter()), worse.total())
        self.line()

    def row(self, name: str, statuses: Counter[str], worse: int) -> None:
        """One line of a table."""
        passed = statuses["passed"] + statuses["expected failure"]
        line = f"{name:30} {statuses.total():7d} {passed:7d}"
        line += f" {statuses['skipped']:8d} {statuses['failed']:7d}"
        self.line(line + self.paint(f" {worse:5d}", RED if worse else GREEN))

    def summary(self, rows: Iterable[tuple[str, Outcomes, list[Difference]]]) -> None:
        """One line for each variant."""
        self.line(self.paint(heading("all modules"), BOLD))
        for variant, outcomes, found in rows:
            statuses = Counter(outcome.status for outcome in outcomes.values())
            self.row(variant, statuses, len(found))
        self.line()

    def differences(self, by_variant: Mapping[str, list[Difference]]) -> None:
        """Every new failure with its traceback, the same one in several variants only once."""
        shown: dict[tuple[str, str], list[str]] = {}
        details: dict[tuple[str, str], str] = {}
        for variant, found in by_variant.items():
            for one in found:
                shown.setdefault((one.test, one.what), []).append(variant)
                details.setdefault((one.test, one.what), one.why)
        for (test, what), variants in sorted(shown.items()):
            self.line(self.paint(f"{test} {what}", RED) + f"  ({', '.join(variants)})")
            self.line("    " + details[test, what].strip().replace("\n", "\n    ") + "\n")


def heading(title: str) -> str:
    """The names of the columns."""
    return f"{title:30} {'run':>7} {'passed':>7} {'skipped':>8} {'failed':>7} {'new':>5}"


def group_of(test: str) -> str:
    """The group of a test's id; "setUpClass (module.Class)" is one too."""
    return GROUP_OF.get(test.rpartition("(")[2].split(".")[0], "other")
