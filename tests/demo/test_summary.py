"""The verdict: what makes the demo fail."""

from collections import Counter
from dataclasses import replace

import pytest

from budget.plan import Budget, plan
from demo.load import Outcome
from demo.summary import Result, text


def kept() -> Result:
    """A demo in which every promise was kept."""
    return Result(
        plan=plan(Budget(max_connections=51, workers=2, worker_connections=200)),
        outcomes=[Outcome("cold burst", 300, 2.0, Counter({200: 2990, 503: 10}))],
        max_used=20,
        most_seen=20,
        busy_status=503,
        busy_after=5.1,
        retry_after="1",
        statements={"cold burst": 1.0},
        connects={"cold burst": 20},
        mean_wait={"cold burst": 0.01},
    )


def test_a_kept_bound_with_503s_is_a_success() -> None:
    assert kept().failures() == []
    assert "never more than 20 of 20 connections" in text(kept(), 60)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"max_used": 21}, "the server had 21 connections at once, 20 allowed"),
        ({"most_seen": 21}, "21 connections of the application's account"),
        ({"refused_by_server": 1}, "the server refused 1 connections"),
        ({"busy_status": 500}, "a full pool answered 500"),
        ({"busy_status": 200}, "a full pool answered 200"),
        ({"busy_after": 8.5}, "after 8.5 s"),
        ({"retry_after": None}, "Retry-After None"),
        (
            {"outcomes": [Outcome("a", 1, 1.0, Counter({200: 9, 500: 1}))]},
            "1 requests failed: 1 x 500",
        ),
        ({"outcomes": [Outcome("a", 1, 1.0, errors=Counter({"EOF": 2}))]}, "2 x EOF"),
        ({"outcomes": [Outcome("a", 1, 1.0)]}, "no request was sent"),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, object], complaint: str) -> None:
    result = replace(kept(), **change)
    assert complaint in " ".join(result.failures())
    assert "FAILED" in text(result, 60)
