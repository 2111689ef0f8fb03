"""The comparison itself: a conformance test that overlooks a difference would be worth nothing."""

import pytest

from tests.conformance.compare import Exclusion, differences, read_exclusions, stale
from tests.conformance.modules import all_modules, core_modules
from tests.conformance.run import Outcome
from tests.conformance.source import HERE

PASSED, FAILED = Outcome("passed"), Outcome("failed", "traceback")
SKIPPED = Outcome("skipped", "no such feature")


@pytest.mark.parametrize(
    ("stock", "pool", "what"),
    [
        (PASSED, FAILED, "fails"),
        (PASSED, SKIPPED, "is skipped"),
        (PASSED, None, "did not run"),
        (SKIPPED, FAILED, "fails"),
        (None, FAILED, "fails"),  # setUpClass, which is no test when it works
        (Outcome("expected failure"), FAILED, "fails"),
    ],
)
def test_what_is_worse_than_with_stock_is_found(stock, pool, what):
    found = differences(
        {"a.Test.test": stock} if stock else {}, {"a.Test.test": pool} if pool else {}
    )

    assert [(one.test, one.what) for one in found] == [("a.Test.test", what)]


@pytest.mark.parametrize(
    ("stock", "pool"),
    [(PASSED, PASSED), (FAILED, FAILED), (FAILED, PASSED), (FAILED, None), (SKIPPED, SKIPPED)],
)
def test_what_is_no_worse_than_with_stock_is_not_reported(stock, pool):
    assert not differences({"a.Test.test": stock}, {"a.Test.test": pool} if pool else {})


def test_a_further_subtest_that_fails_is_found_behind_one_that_fails_with_stock_too():
    stock = Outcome("failed", subtests={"(n=1)": "old"})
    pool = Outcome("failed", subtests={"(n=1)": "old", "(n=2)": "new"})

    (found,) = differences({"t": stock}, {"t": pool})

    assert "(n=2)" in found.why
    assert "(n=1)" not in found.why


def test_an_exclusion_that_passes_everywhere_is_stale():
    exclusions = {"t": Exclusion("reason")}

    assert stale(exclusions, [{"t": PASSED}, {"t": PASSED}]) == ["t"]
    assert stale(exclusions, [{"t": PASSED}, {"t": FAILED}]) == []
    assert stale(exclusions, [{}]) == []
    assert stale({"t": Exclusion("reason", sometimes=True)}, [{"t": PASSED}]) == []


def test_every_exclusion_has_a_reason_and_belongs_to_a_module_that_runs():
    for test, exclusion in read_exclusions(HERE / "exclusions.toml").items():
        assert len(exclusion.reason) > 40, test
        assert test.split(".")[0] in all_modules()


def test_the_core_is_part_of_the_whole_and_no_module_is_named_twice():
    modules = all_modules()

    assert set(modules) >= set(core_modules())
    assert len(modules) == len(set(modules))
