"""The database servers that are supported beside the one that `apt-get install` brings here.

``python -m tests.servers`` (or ``make test-servers``) runs the pool's tests on each. ``fetch``
brings their programs without installing them; they run as any process, with a C library of their
own.
"""
