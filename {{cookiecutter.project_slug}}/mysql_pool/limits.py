"""The limits of a pool, as its settings give them. No logic."""

from dataclasses import dataclass

from .ledger.share import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Connections and seconds."""

    max_conns: int
    """The bound: so many connections exist at the server at most."""
    reuse_conns: int
    """So many idle connections are kept; 0 closes each connection after its use."""
    timeout: float
    """How long a checkout waits."""
    max_waiting: int
    """So many checkouts may wait at the same time; the next one is rejected."""
    max_idle: float
    """Idle connections are closed after this; it has to be below the server's ``wait_timeout``."""
    max_age: float | None
    """Connections are closed after this, a random tenth earlier, so that connections that were
    opened together do not end together. None: no limit."""
    host: Terms | None = None
    """Where the bound of the whole host is kept, and what of it is this pool's. None: nowhere."""
