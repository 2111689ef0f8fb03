"""`make bench`: mysql_pool beside its peers, in one run, on one private server.

The way of a run: ``__main__`` (what to measure) -> ``bench`` (in which order) -> ``serving`` (a
peer behind Gunicorn) and ``load`` (wrk) -> ``results`` (JSON) -> ``report``, ``goals``, ``plots``.
What is served is in ``site``; ``peers`` and ``workloads`` are the two lists. ``micro`` measures
inside one process, started by ``inside``; ``fairness`` has clients of its own.
"""
