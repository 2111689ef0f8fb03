"""Python's garbage collector in a worker that has loaded its application."""

import gc

#: New objects between two collections of the youngest; Python's own number is 700 (2000 from
#: Python 3.13 on).
YOUNGEST = 50_000


def collect_less() -> None:
    """Leave what is loaded by now out of garbage collections, and have fewer of them.

    One of everything holds up all clients of a gevent worker: 40 ms with Django alone. With 700
    new objects between two of them the collector takes up to 5 % of a busy worker's time. When
    4,000 clients wait, what they keep alive is looked at again and again: 14 % of the worker's
    time with 10,000, 3 % with 50,000, and no collection took longer for it (the longest 300 and
    200 ms). So many objects are a few megabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST)
