"""The two ways in which a checkout fails. Nothing about drivers, nothing about Django.

Inside Django both arrive as ``django.db.OperationalError`` whose ``__cause__`` is one of these,
because the pool raises them as subclasses of the driver's ``OperationalError`` as well.
"""


class PoolError(Exception):
    """No connection could be had from the pool; the server may be in perfect health."""


class PoolTimeout(PoolError):
    """Waited ``POOL_TIMEOUT`` seconds and every slot stayed taken."""


class TooManyWaiting(PoolError):
    """``MAX_WAITING`` others wait already: refused at once rather than after a useless wait."""
