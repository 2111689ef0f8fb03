"""One bound for a whole host: all processes that name the same file share its connections.

``file`` is the file with its kernel locks, ``record`` what a pool tells of itself in it,
``fairness`` who may have how much, ``bell`` how one pool wakes another, ``share`` a pool's part of
it, and ``reading`` what anybody may see. Nothing here knows Django, a driver or the pool's parts.

The bound is kept by locks alone: one byte for each connection that the host may have. What is
written in the file helps to share fairly, to tell, and to find what a dead process has left at the
server. A file that is truncated or full of nonsense costs these, and not the bound of the living.
"""
