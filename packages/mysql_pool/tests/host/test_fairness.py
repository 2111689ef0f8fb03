"""The sharing of a host's connections over its whole input space. Without files or a server."""

import random

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mysql_pool.ledger.fairness import Claim, most, shares, to_give_up

claim = st.builds(Claim, st.integers(0, 6), st.integers(0, 30), st.integers(0, 60))
hosts = st.tuples(st.integers(0, 60), st.lists(claim, min_size=1, max_size=9))


@st.composite
def true_hosts(draw):
    """Hosts whose claims have no more than there is: locks see to that."""
    total, claims = draw(hosts)
    assume(sum(one.open for one in claims) <= total)
    return total, claims


def wish(one):
    """What is guaranteed to it stays its own while it does not want it."""
    return max(one.guaranteed, one.wanted)


@given(hosts)
@example((0, [Claim(2, 0, 5)]))
def test_no_more_is_dealt_than_there_is_and_nothing_is_left_that_somebody_wants(host):
    total, claims = host
    assert sum(shares(total, claims)) == min(total, sum(map(wish, claims)))


@given(hosts)
def test_nobody_gets_less_than_its_guarantee_or_more_than_it_wishes(host):
    total, claims = host
    due = shares(total, claims)
    assert all(share <= wish(one) for share, one in zip(due, claims, strict=True))
    if sum(one.guaranteed for one in claims) <= total:
        assert all(share >= one.guaranteed for share, one in zip(due, claims, strict=True))


@given(hosts)
def test_nobody_has_more_than_its_guarantee_while_another_that_is_short_has_less(host):
    total, claims = host
    due = shares(total, claims)
    least = min(
        (share for share, one in zip(due, claims, strict=True) if share < wish(one)), default=None
    )
    assume(least is not None)
    for share, one in zip(due, claims, strict=True):
        # One more: the remainder is dealt out singly.
        assert share <= max(one.guaranteed, least + 1)


@given(hosts, st.randoms(use_true_random=False))
def test_the_order_decides_about_the_remainder_only(host, chance):
    """Every pool counts itself first, so no two of them see the same order."""
    total, claims = host
    places = list(range(len(claims)))
    chance.shuffle(places)
    due = shares(total, claims)
    for share, place in zip(
        shares(total, [claims[place] for place in places]), places, strict=True
    ):
        assert abs(share - due[place]) <= 1


@given(true_hosts())
def test_no_more_is_given_up_than_is_missing_and_nothing_of_a_share(host):
    total, claims = host
    due, given_up = shares(total, claims), to_give_up(total, claims)
    free = total - sum(one.open for one in claims)
    missing = sum(
        max(0, min(share, one.wanted) - one.open) for share, one in zip(due, claims, strict=True)
    )
    assert sum(given_up) == max(0, missing - free)
    for gives, share, one in zip(given_up, due, claims, strict=True):
        assert gives == 0 or 0 < gives <= one.open - share


@given(true_hosts())
def test_what_a_pool_may_have(host):
    total, claims = host
    bounds = [most(total, claims, me) for me in range(len(claims))]
    fits = sum(one.guaranteed for one in claims) <= total
    for bound, one in zip(bounds, claims, strict=True):
        assert 0 <= bound <= total
        if fits:
            assert bound >= min(one.guaranteed, total)


def run(total, guaranteed, wanted, opened, chance, steps=2000):
    """Pools that look at each other one at a time, in any order, and take or give one connection.
    Returns how many each has at the end, and how often anybody gave one up in the last tenth."""
    has, late = list(opened), 0
    for step in range(steps):
        me = chance.randrange(len(has))
        claims = [Claim(*one) for one in zip(guaranteed, has, wanted, strict=True)]
        bound = most(total, claims, me)
        if has[me] > bound:
            has[me] -= 1
            late += step >= steps * 9 // 10
        elif has[me] < min(bound, wanted[me]) and sum(has) < total:
            has[me] += 1
    return has, late


@given(
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=2, max_size=5),
    st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None)
def test_pools_come_to_their_shares_and_stay_there(total, pools, seed):
    chance = random.Random(seed)
    guaranteed, wanted = zip(*pools, strict=True)
    assume(sum(guaranteed) <= total)
    # One of them has everything at first, although it needs nothing of it: the worst beginning.
    opened = [total, *[0] * (len(pools) - 1)]
    has, late = run(total, guaranteed, wanted, opened, chance)
    claims = [Claim(*one) for one in zip(guaranteed, has, wanted, strict=True)]
    assert late == 0, "connections go back and forth"
    assert sum(has) <= total
    for have, share, want in zip(has, shares(total, claims), wanted, strict=True):
        assert have >= min(share, want) - 1  # the remainder is of whoever has it
        if want:
            assert have >= min(1, share)


@pytest.mark.parametrize("claims", [[Claim(0, 0, 5)] * 3, [Claim(4, 0, 0)] * 3])
def test_more_pools_than_connections(claims):
    assert sorted(shares(2, claims)) == [0, 1, 1]
