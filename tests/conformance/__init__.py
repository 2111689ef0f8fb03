"""Django's own test suite as conformance test of mysql_pool: ``python -m tests.conformance``.

The suite runs with the stock backend and with every variant of mysql_pool, on the same driver and
the same private server. What passes with the stock backend has to pass with mysql_pool.

``source`` (Django's sdist and environments) -> ``run`` (one variant, one process) -> ``compare``
(what differs) -> ``report``. ``inside`` is what is imported in the process under test.
"""
