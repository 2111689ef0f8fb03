"""A differential test: random programs on Django's own backend and on mysql_pool, side by side.

Both run on the same private server, one after the other, and whatever anybody can see has to be the
same: results and errors, what is stored, ``on_commit`` calls, and the session that the next user of
each connection finds. ``python -m tests.differential --help``.

``statements`` (what SQL there is) -> ``programs`` (random trees of steps, ``faults``: fixed ones)
-> ``pair`` (two worker processes) -> ``worker`` (``execute`` and ``aftermath``, inside a Django
process) -> ``compare`` (what differs; ``meant``: what may).
"""
