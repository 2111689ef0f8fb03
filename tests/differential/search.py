"""hypothesis looks for a program that differs; then it is made smaller.

Smaller by our own hand: hypothesis' shrinker tries thousands of programs, and one that loses a slot
of the pool takes seconds. Here it is one step or block less each time, some dozens of programs.
"""

import contextlib
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed
from hypothesis.errors import StopTest

from .compare import Differs, check, differences
from .pair import Pair
from .programs import programs, smaller

#: Seconds for making a program smaller.
SHRINK = 90


def search(
    pair: Pair,
    seed: int,
    most: int,
    end: float = float("inf"),
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Run up to ``most`` random programs. Raises `Differs` with a small one.

    ``end`` is when to stop, on the monotonic clock; a difference that is found is still made
    smaller. ``tell`` is called after each program.
    """
    found: Differs | None = None

    @with_seed(seed)
    @settings(
        max_examples=most,
        deadline=None,  # a lock wait takes a second
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs)
    def run(program):
        nonlocal found
        if found is not None:
            raise found  # hypothesis asks once more
        if time.monotonic() < end:
            try:
                check(program, pair)
            except Differs as differs:
                found = differs
                raise
            tell()

    with contextlib.suppress(Differs, StopTest):
        run()
    if found is not None:
        raise shrunk(found, pair)


def shrunk(found: Differs, pair: Pair) -> Differs:
    """A program with fewer steps that differs as well, in whatever it may be."""
    end = time.monotonic() + SHRINK
    best = found
    tried = True
    while tried and time.monotonic() < end:
        tried = False
        for candidate in smaller(best.program):
            seen = differences(candidate, *pair.run(candidate), pair.variant)
            if seen:
                best, tried = Differs(candidate, pair.variant, seen), True
                break
            if time.monotonic() > end:
                break
    try:
        check(best.program, pair)
    except Differs as differs:
        return differs
    return found  # the small one does not differ each time
