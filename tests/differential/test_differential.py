"""mysql_pool beside Django's own backend: fixed programs for each kind of fault, and random ones.

Hours of random programs: ``python -m tests.differential``.
"""

from importlib.util import find_spec

import pytest

from tests.differential.compare import check, differences
from tests.differential.faults import FAULTS, ONLY
from tests.differential.pair import VARIANTS, Pair, Variant, private_server
from tests.differential.programs import inner, render, step_at
from tests.differential.search import search

# Minutes: a difference that is found is made smaller.
pytestmark = [pytest.mark.server, pytest.mark.full, pytest.mark.timeout(600)]

#: Random programs of each variant: some five seconds of them.
PROGRAMS = 20


@pytest.fixture(scope="module")
def private():
    """A server whose tables are built again for each program."""
    with private_server() as server:
        yield server


@pytest.fixture(scope="module")
def pairs(private):
    """``pairs(variant)``: its two workers, which are started once."""
    started: dict[Variant, Pair] = {}

    def pair(variant):
        if variant.driver == "mysqlclient" and find_spec("MySQLdb") is None:
            pytest.fail("mysqlclient is not installed: `make test` installs it (bootstrap.sh)")
        return started.setdefault(variant, Pair(variant, private))

    yield pair
    for one in started.values():
        one.end()


def names(variants):
    return [pytest.param(one, id=str(one).replace(" ", "-")) for one in variants]


TIMED_OUT = "callbacks of a COMMIT that timed out"
#: In request mode a connection is held as stock holds it: the random programs do for that.
FIXED = [
    (variant, name)
    for variant in VARIANTS
    for name in FAULTS
    if variant.release == "transaction" and (variant.concurrency == "threads" or name == TIMED_OUT)
]


@pytest.mark.parametrize(
    ("variant", "name"), [pytest.param(*one, id=f"{one[0]}: {one[1]}"[:90]) for one in FIXED]
)
def test_a_known_kind_of_fault_is_not_there(pairs, variant, name):
    check(FAULTS[name], pairs(variant), ONLY.get(name, ()))


@pytest.mark.parametrize("variant", names(VARIANTS))
def test_random_programs_have_the_same_outcome(pairs, variant):
    # Always the same ones, so that a failure here is this change's and not the day's.
    search(pairs(variant), seed=1, most=PROGRAMS)


def test_stock_beside_itself_does_not_differ(private):
    with Pair(VARIANTS[0], private, stock_twice=True) as pair:
        search(pair, seed=1, most=PROGRAMS // 2)


def test_what_the_next_user_finds_is_compared(private):
    """A difference is seen wherever it is: in a result, in what is stored, in a variable."""
    with Pair(VARIANTS[0], private, stock_twice=True) as pair:
        one = pair.run([["sql", "SELECT 1"]])[0]
        for other in (
            [["sql", "SELECT 2"]],
            [["sql", "SELEKT 1"]],
            [["sql", "INSERT INTO item (value) VALUES (1)"]],
            [["autocommit", False]],
        ):
            assert differences(other, one, pair.run(other)[0], pair.variant)
        changed = [["global", "time_zone", "+05:00", [["sql", "SELECT 1"], ["end"]]]]
        one, other = pair.run([["end"]])[0], pair.run(changed)[0]
        find = {str(step["at"]): step["outcome"]["result"] for step in other["log"][:2]}
        assert find["1.2"]["next user"] != one["log"][0]["outcome"]["result"]["next user"]


def test_a_step_is_found_by_the_number_it_is_shown_with():
    program = FAULTS["KILL in atomic()"]
    shown = [line.split()[0] for line in render(program)]
    assert shown[:5] == ["1", "1.1", "1.2", "1.3", "1.4"]
    assert [step_at(program, at) for at in shown[1:5]] == inner(program[0])
    assert step_at(program, "end") is None
