"""What passes with the stock backend and does not with mysql_pool. Pure: outcomes in, list out."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .run import Outcome, Outcomes

GOOD = ("passed", "expected failure")


@dataclass(frozen=True)
class Difference:
    """One test that behaves worse than with the stock backend."""

    test: str
    what: str
    """``"fails"``, ``"is skipped"`` or ``"did not run"``."""
    why: str
    """Traceback or reason."""


def differences(stock: Outcomes, pool: Outcomes) -> list[Difference]:
    """Every test that fails, is skipped or does not run with mysql_pool and did with stock.

    Also what fails in a further subtest of a test that fails with stock too, and a failure in
    place of a skip.
    """
    found = []
    for test in sorted(stock.keys() | pool.keys()):
        theirs, ours = stock.get(test), pool.get(test)
        if ours is None:
            if theirs.status != "failed":
                found.append(Difference(test, "did not run", "The suite had it with stock."))
        elif ours.status == "failed":
            why = _new_failures(theirs, ours)
            if why:
                found.append(Difference(test, "fails", why))
        elif ours.status == "skipped" and theirs is not None and theirs.status in GOOD:
            found.append(Difference(test, "is skipped", ours.why))
    return found


def _new_failures(theirs: Outcome | None, ours: Outcome) -> str:
    if theirs is None or theirs.status != "failed":
        return "\n".join(filter(None, [ours.why, *_titled(ours.subtests)]))
    new = {name: why for name, why in ours.subtests.items() if name not in theirs.subtests}
    return "\n".join(_titled(new))


def _titled(subtests: Mapping[str, str]) -> list[str]:
    return [f"in the subtest {name}\n{why}" for name, why in subtests.items()]


@dataclass(frozen=True)
class Exclusion:
    """Why a test is left out."""

    reason: str
    sometimes: bool = False
    """It fails now and then, with any backend: passing is no reason to take it off the list."""


def read_exclusions(path: Path) -> dict[str, Exclusion]:
    """By test id, from ``exclusions.toml``. Raises ``KeyError`` where one has no reason."""
    entries = tomllib.loads(path.read_text())["exclusion"]
    return {
        entry["test"]: Exclusion(
            " ".join(entry["reason"].split()), sometimes=entry.get("sometimes", False)
        )
        for entry in entries
    }


def stale(exclusions: Mapping[str, Exclusion], all_outcomes: list[Outcomes]) -> list[str]:
    """The exclusions that ran and did not fail anywhere: they hide nothing any more."""
    return [
        test
        for test, exclusion in exclusions.items()
        if not exclusion.sometimes
        and any(test in outcomes for outcomes in all_outcomes)
        and all(outcomes[test].status in GOOD for outcomes in all_outcomes if test in outcomes)
    ]
