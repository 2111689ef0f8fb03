"""Who may have how many of a host's connections: max-min fair, with a guarantee for each.

Pure arithmetic. Everybody computes the same from the same figures, so nobody has to decide for all.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Claim(NamedTuple):
    """What one pool has and wants, in connections."""

    guaranteed: int
    open: int
    """What it has at the server, from before it is opened until the server has closed it."""
    wanted: int
    """In use and waited for."""

    @property
    def is_short(self) -> bool:
        """Whether it wants more than it has."""
        return self.wanted > self.open


def shares(total: int, claims: Sequence[Claim]) -> list[int]:
    """How many of ``total`` connections each claim may have if all that is wanted is served.

    Nobody gets less than is guaranteed to it, nobody gets more than it wants while another wants
    more than it has, and what is left is dealt out evenly. The sum is at most ``total``.
    """
    floors = [claim.guaranteed for claim in claims]
    if sum(floors) > total:
        floors = _deal(total, [0] * len(claims), floors)
    wishes = [max(floor, claim.wanted) for floor, claim in zip(floors, claims, strict=True)]
    return _deal(total, floors, wishes)


def _deal(total: int, floors: list[int], wishes: list[int]) -> list[int]:
    """Raise everybody from its floor to one level, as far as it wishes and ``total`` allows."""
    if sum(wishes) <= total:
        return wishes

    def at(level: int) -> list[int]:
        return [max(floor, min(wish, level)) for floor, wish in zip(floors, wishes, strict=True)]

    low, high = 0, max(wishes)
    while low < high:  # the highest level that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(at(middle)) <= total else (low, middle - 1)
    dealt = at(low)
    left = total - sum(dealt)
    for place, wish in enumerate(wishes):  # one more for the first ones
        if left and dealt[place] == low < wish:
            dealt[place] += 1
            left -= 1
    return dealt


def to_give_up(total: int, claims: Sequence[Claim]) -> list[int]:
    """How many connections each has to give up now, because another has less than its share.

    As many as are missing together, first from who has most beyond its share. All 0 as long as
    free connections are enough.
    """
    due = shares(total, claims)
    missing = sum(
        max(0, min(share, claim.wanted) - claim.open)
        for share, claim in zip(due, claims, strict=True)
    )
    missing -= max(0, total - sum(claim.open for claim in claims))
    beyond = [max(0, claim.open - share) for share, claim in zip(due, claims, strict=True)]
    given = [0] * len(claims)
    missing = min(missing, sum(beyond))
    while missing > 0:
        most = max(range(len(claims)), key=lambda place: beyond[place] - given[place])
        given[most] += 1
        missing -= 1
    return given


def most(total: int, claims: Sequence[Claim], me: int) -> int:
    """How many connections claim number ``me`` may have at this moment.

    What it has to give up is taken off. Else it may take what is free, but for what is guaranteed
    to others and not open yet.
    """
    gives = to_give_up(total, claims)[me]
    if gives:
        return claims[me].open - gives
    others = sum(max(one.guaranteed, one.open) for one in claims) - max(
        claims[me].guaranteed, claims[me].open
    )
    return max(total - others, shares(total, claims)[me])
