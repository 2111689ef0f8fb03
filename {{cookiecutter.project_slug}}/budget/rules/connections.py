"""Rules of how the server's connections are shared by the pools of all workers."""

from collections.abc import Iterable
from dataclasses import replace

from budget.counting import count, noun
from budget.fields import Budget, high
from budget.problem import Change
from budget.rule import Refusal, Row, Rule


class ConnectionLimits:
    """The part of a `Plan` that these rules give."""

    mode: str  # "guaranteed": one connection for each request; "shared": fewer, some have to wait
    concurrency: int  # requests that one worker serves at once
    pool_size: int  # MAX_CONNS of each worker and alias
    binds: str  # the field that keeps the pool from being larger
    steady_connections: int
    peak_connections: int  # while reloading_hosts run old and new workers
    headroom: int  # connections that neither the peak nor the reserve uses
    hosts_left: int  # hosts that can be added with pools of this size
    hosts_left_smallest_pool: int  # the same with one connection a pool
    reserve: int  # connections that the application's account cannot use
    max_user_connections: int  # of that account
    max_waiting: int  # in one pool


# The field that decides how many requests a worker serves at once.
UNITS = {"gevent": "worker_connections", "gthread": "threads", "sync": "worker_class"}


def concurrency(b: Budget) -> int:
    """C: requests that one worker serves at once."""
    return {"gevent": b.worker_connections, "gthread": b.threads, "sync": 1}[b.worker_class]


def reserve(b: Budget) -> int:
    """R: connections that the application's account cannot use."""
    return b.reserved


def for_the_application(b: Budget) -> int:
    """Connections that the application's account may use: M - R (B022)."""
    return b.max_connections - reserve(b)


def pools_at_peak(b: Budget) -> int:
    """Pools that exist while `reloading_hosts` run old and new workers: (H + S) x W x K."""
    return (b.hosts + b.reloading_hosts) * b.workers * b.database_aliases


def pool_size(b: Budget) -> int:
    """P: connections of one worker and alias (B020)."""
    return min(concurrency(b), for_the_application(b) // pools_at_peak(b))


def mode(b: Budget) -> str:
    """Whether a pool has a connection for each request: "guaranteed" or "shared"."""
    return "guaranteed" if pool_size(b) == concurrency(b) else "shared"


def binds(b: Budget) -> str:
    """The field that keeps the pool from being larger."""
    return UNITS[b.worker_class] if mode(b) == "guaranteed" else "max_connections"


def _one_connection_for_each_pool(b: Budget) -> Refusal | None:
    needed = pools_at_peak(b) + reserve(b)
    if needed <= b.max_connections:
        return None
    pools_of_each_worker = pools_at_peak(replace(b, workers=1))
    ways_out: list[Change] = []
    if needed <= high("max_connections"):
        ways_out.append({"max_connections": needed})
    most_workers = for_the_application(b) // pools_of_each_worker
    if most_workers >= 1:
        ways_out.append({"workers": most_workers})
    if not ways_out:
        ways_out.append({"max_connections": pools_of_each_worker + reserve(b), "workers": 1})
    return Refusal(
        "max_connections",
        f"one connection for each pool needs (hosts {b.hosts} + reloading_hosts "
        f"{b.reloading_hosts}) x workers {b.workers} x database_aliases {b.database_aliases} "
        f"+ reserved {reserve(b)} = {needed}",
        tuple(ways_out),
    )


def _pool_size_row(b: Budget) -> Iterable[Row]:
    requests = concurrency(b)
    waiting = requests - pool_size(b)
    yield Row(
        "connections",
        "pool size (MAX_CONNS)",
        pool_size(b),
        "connections",
        f"min({count(requests, 'requests')}, ({b.max_connections} - {reserve(b)}) / "
        f"{count(pools_at_peak(b), 'pools')})",
        f"{waiting} of {requests} requests may have to wait" if waiting else "one for each request",
    )


B020 = Rule(
    id="B020",
    title="Pool size of one worker",
    text=(
        "`P = min(C, floor((M - R) / ((H + S) x W x K)))`, and at least 1. C is "
        "`worker_connections` for gevent, `threads` for gthread, 1 for sync. `P = C` is the "
        "guaranteed mode: the pool has a connection for each request that the worker serves. Only "
        "greenlets or threads that the application starts itself can make one wait. `P < C` is "
        "the shared mode: a request waits for a connection at most `pool_timeout`."
    ),
    why=(
        "All workers of all hosts, with a pool for each alias, share M. Without a division "
        "somebody gets error 1040."
    ),
    source="MySQL manual, Too many connections",
    enforced_by="mysql_pool",
    gives={"mode": mode, "concurrency": concurrency, "pool_size": pool_size, "binds": binds},
    check=_one_connection_for_each_pool,
    rows=_pool_size_row,
)


def steady_connections(b: Budget) -> int:
    """Connections in all pools while no host reloads."""
    return b.hosts * b.workers * b.database_aliases * pool_size(b)


def peak_connections(b: Budget) -> int:
    """Connections in all pools while `reloading_hosts` run old and new workers (B021)."""
    return pools_at_peak(b) * pool_size(b)


def headroom(b: Budget) -> int:
    """Connections that neither the peak nor the reserve uses."""
    return for_the_application(b) - peak_connections(b)


def hosts_left(b: Budget) -> int:
    """Hosts that can be added with pools of this size."""
    return _hosts_with_pools_of(b, pool_size(b)) - b.hosts - b.reloading_hosts


def hosts_left_smallest_pool(b: Budget) -> int:
    """Hosts that can be added with one connection in each pool."""
    return _hosts_with_pools_of(b, 1) - b.hosts - b.reloading_hosts


def _hosts_with_pools_of(b: Budget, size: int) -> int:
    return for_the_application(b) // (b.workers * b.database_aliases) // size


def _connections_rows(b: Budget) -> Iterable[Row]:
    yield Row(
        "connections",
        "connections, steady",
        steady_connections(b),
        "connections",
        f"{count(b.hosts, 'hosts')} x {count(b.workers, 'workers')} "
        f"x {b.database_aliases} of DATABASES x {pool_size(b)}",
        f"{peak_connections(b) - steady_connections(b)} for a reload",
    )
    yield Row(
        "connections",
        "connections, at a reload",
        peak_connections(b),
        "connections",
        f"({b.hosts} + {b.reloading_hosts}) {noun(b.hosts + b.reloading_hosts, 'hosts')} "
        f"x {b.workers} x {b.database_aliases} x {pool_size(b)}",
        f"{headroom(b)} of {b.max_connections} - {reserve(b)}",
    )


B021 = Rule(
    id="B021",
    title="Peak connections",
    text="`(H + S) x W x P x K + R <= M`, always.",
    why=(
        "A reload (HUP) starts all new workers before it stops the old ones, so S hosts count "
        "twice."
    ),
    source="gunicorn/arbiter.py: reload() spawns, then manage_workers() ends the old",
    enforced_by="mysql_pool, deployment",
    gives={
        "steady_connections": steady_connections,
        "peak_connections": peak_connections,
        "headroom": headroom,
        "hosts_left": hosts_left,
        "hosts_left_smallest_pool": hosts_left_smallest_pool,
    },
    rows=_connections_rows,
    server_options={"max_connections": lambda b: b.max_connections},
)


def _account_row(b: Budget) -> Iterable[Row]:
    yield Row(
        "connections",
        "MAX_USER_CONNECTIONS",
        for_the_application(b),
        "connections",
        f"{b.max_connections} - {reserve(b)} reserved",
        f"{reserve(b)} for everyone else",
    )


B022 = Rule(
    id="B022",
    title="MAX_USER_CONNECTIONS of the application's account",
    text="`M - R`.",
    why=(
        "The server itself keeps the reserve free: an administrator can log in whatever the "
        "application does. Cron jobs and shells that use the application's account take their "
        "connections from the headroom, and not from the reserve."
    ),
    source="MySQL manual, Setting Account Resource Limits",
    enforced_by="database server",
    gives={"reserve": reserve, "max_user_connections": for_the_application},
    rows=_account_row,
)


def _waiters_row(b: Budget) -> Iterable[Row]:
    yield Row(
        "connections",
        "waiters (MAX_WAITING)",
        concurrency(b),
        "requests",
        f"{count(concurrency(b), 'requests')} of one worker",
    )


B023 = Rule(
    id="B023",
    title="Waiters of one pool",
    text="`C`.",
    why=(
        "One worker never serves more requests than C. Only greenlets or threads that the "
        "application starts itself can make more waiters, and for those a queue without end is a "
        "leak."
    ),
    source="this project",
    enforced_by="mysql_pool",
    gives={"max_waiting": concurrency},
    rows=_waiters_row,
)

RULES = (B020, B021, B022, B023)
