"""Rules of how the server's connections are shared by the hosts, and by the pools of each host.

With `sharing` "process" each worker has a fixed share, and a reload needs a second one for each new
worker. With "host" all processes of a host share its connections, old and new workers too.
"""

from collections.abc import Iterable
from dataclasses import replace

from budget.counting import count, noun
from budget.fields import Budget, high
from budget.problem import Change
from budget.rule import Refusal, Row, Rule
from budget.rules.consumers import promised_elsewhere, promised_on_host


class ConnectionLimits:
    """The part of a `Plan` that these rules give."""

    mode: str  # "guaranteed": one connection for each request; "shared": fewer, some have to wait
    concurrency: int  # requests that one worker serves at once
    pool_size: int  # share of each worker and alias that it keeps without asking the others
    pool_most: int  # MAX_CONNS of each worker and alias
    binds: str  # the field that keeps the pool from being larger
    steady_connections: int
    peak_connections: int  # while reloading_hosts run old and new workers
    headroom: int  # connections that neither the peak nor the reserve uses
    hosts_left: int  # hosts that can be added with pools of this size
    hosts_left_smallest_pool: int  # the same with one connection a pool
    reserve: int  # connections that the application's account cannot use
    max_user_connections: int  # of that account
    max_waiting: int  # in one pool
    host_connections: int  # of all processes of one host together, while none is reloading
    guaranteed: int  # connections that each worker and alias may always open


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


def shares_host(b: Budget) -> bool:
    """Whether all processes of a host share its connections."""
    return b.sharing == "host"


def hosts_at_peak(b: Budget) -> int:
    """Hosts that stand at a deployment: H + E."""
    return b.hosts + b.extra_hosts


def pools_of_a_host(b: Budget) -> int:
    """Pools of the workers of one host that is not reloading: W x K."""
    return b.workers * b.database_aliases


def pools_at_peak(b: Budget) -> int:
    """Pools of workers while `reloading_hosts` run old and new ones: (H + E + S) x W x K."""
    return (hosts_at_peak(b) + b.reloading_hosts) * pools_of_a_host(b)


def promised(b: Budget) -> int:
    """Connections that are promised to all consumers, wherever they run."""
    return hosts_at_peak(b) * promised_on_host(b) + promised_elsewhere(b)


def host_connections(b: Budget) -> int:
    """N: connections of all processes of one host (B024)."""
    if shares_host(b):
        return (for_the_application(b) - promised_elsewhere(b)) // hosts_at_peak(b)
    return pools_of_a_host(b) * pool_size(b) + promised_on_host(b)


def for_workers_of_a_host(b: Budget) -> int:
    """Connections of a host that shares them which are not promised to consumers."""
    return host_connections(b) - promised_on_host(b)


def pool_size(b: Budget) -> int:
    """P: connections of one worker and alias that need no agreement with others (B020)."""
    if shares_host(b):
        old_and_new = 2 * pools_of_a_host(b)
        return min(concurrency(b), max(1, for_workers_of_a_host(b) // old_and_new))
    return min(concurrency(b), (for_the_application(b) - promised(b)) // pools_at_peak(b))


def pool_most(b: Budget) -> int:
    """The most connections of one worker and alias: MAX_CONNS (B020, B024)."""
    return min(concurrency(b), for_workers_of_a_host(b)) if shares_host(b) else pool_size(b)


def guaranteed(b: Budget) -> int:
    """Connections that one worker and alias may always open (B025)."""
    if not shares_host(b):
        return pool_size(b)
    of_a_tenth = for_workers_of_a_host(b) // (GUARANTEED_PART * pools_of_a_host(b))
    return min(concurrency(b), max(1, of_a_tenth))


def for_guaranteed_mode(b: Budget) -> int:
    """The smallest max_connections with a connection for each request, also at a reload."""
    if shares_host(b):
        of_a_host = 2 * pools_of_a_host(b) * concurrency(b) + promised_on_host(b)
        return hosts_at_peak(b) * of_a_host + promised_elsewhere(b) + reserve(b)
    return pools_at_peak(b) * concurrency(b) + promised(b) + reserve(b)


def mode(b: Budget) -> str:
    """Whether a pool has a connection for each request: "guaranteed" or "shared"."""
    return "guaranteed" if for_guaranteed_mode(b) <= b.max_connections else "shared"


def binds(b: Budget) -> str:
    """The field that keeps the pool from being larger."""
    return UNITS[b.worker_class] if mode(b) == "guaranteed" else "max_connections"


def _one_connection_for_each_pool(b: Budget) -> Refusal | None:
    needed = _smallest_max_connections(b)
    if needed <= b.max_connections:
        return None
    ways_out: list[Change] = []
    if needed <= high("max_connections"):
        ways_out.append({"max_connections": needed})
    most_workers = _most_workers(b)
    if most_workers >= 1:
        ways_out.append({"workers": most_workers})
    if not ways_out:
        one_worker = _smallest_max_connections(replace(b, workers=1))
        if one_worker <= high("max_connections"):
            ways_out.append({"max_connections": one_worker, "workers": 1})
        else:
            alone = _one_connection_for_each_pool(replace(b, consumers=()))
            ways_out.append({**(alone.ways_out[0] if alone else {}), "consumers": ()})
    hosts = f"hosts {b.hosts}" + (f" + extra_hosts {b.extra_hosts}" if b.extra_hosts else "")
    if not shares_host(b):
        hosts += f" + reloading_hosts {b.reloading_hosts}"
    return Refusal(
        "max_connections",
        f"one connection for each pool needs ({hosts}) x workers {b.workers} x database_aliases "
        f"{b.database_aliases} + "
        + (f"promised to consumers {promised(b)} + " if b.consumers else "")
        + f"reserved {reserve(b)} = {needed}",
        tuple(ways_out),
    )


def _smallest_max_connections(b: Budget) -> int:
    """With one connection for each pool."""
    hosts = hosts_at_peak(b) + (0 if shares_host(b) else b.reloading_hosts)
    return hosts * pools_of_a_host(b) + promised(b) + reserve(b)


def _most_workers(b: Budget) -> int:
    """Workers of a host with one connection for each pool; below 1 if there is none for them."""
    if shares_host(b):
        return for_workers_of_a_host(b) // b.database_aliases
    return (for_the_application(b) - promised(b)) // pools_at_peak(replace(b, workers=1))


def _pool_size_rows(b: Budget) -> Iterable[Row]:
    requests = concurrency(b)
    waiting = requests - pool_most(b)
    left = (
        f"{waiting} of {requests} requests may have to wait" if waiting else "one for each request"
    )
    of_consumers = promised_on_host(b) if shares_host(b) else promised(b)
    taken = f" - {of_consumers} promised" if of_consumers else ""
    if not shares_host(b):
        yield Row(
            "connections",
            "pool size (MAX_CONNS)",
            pool_size(b),
            "connections",
            f"min({count(requests, 'requests')}, ({b.max_connections} - {reserve(b)}{taken}) / "
            f"{count(pools_at_peak(b), 'pools')})",
            left,
        )
        return
    yield Row(
        "connections",
        "most of one pool (MAX_CONNS)",
        pool_most(b),
        "connections",
        f"min({count(requests, 'requests')}, {host_connections(b)} of the host{taken})",
        "one for each request" if mode(b) == "guaranteed" else "as long as the others leave them",
    )
    yield Row(
        "connections",
        "without a ledger (STATIC_CONNS)",
        pool_size(b),
        "connections",
        f"min({count(requests, 'requests')}, ({host_connections(b)} of the host{taken}) / "
        f"{count(2 * pools_of_a_host(b), 'pools')})",
    )


B020 = Rule(
    id="B020",
    title="Pool size of one worker",
    text=(
        "`P = min(C, floor((M - R - promised) / ((H + E + S) x W x K)))`, and at least 1. C is "
        "`worker_connections` for gevent, `threads` for gthread, 1 for sync. `P = C` is the "
        "guaranteed mode: the pool has a connection for each request that the worker serves. Only "
        "greenlets or threads that the application starts itself can make one wait. `P < C` is "
        "the shared mode: a request waits for a connection at most `pool_timeout`. "
        'What is promised to consumers is in B026. With `sharing = "host"` '
        "`P = min(C, floor((N - promised on a host) / (2 x W x K)))`, and at least 1, is what a "
        "worker may open while it cannot use the ledger of its host; MAX_CONNS is the smaller of C "
        "and N less what is promised on a host."
    ),
    why=(
        "All workers of all hosts, with a pool for each alias, share M. Without a division "
        "somebody gets error 1040."
    ),
    source="MySQL manual, Too many connections",
    enforced_by="mysql_pool",
    gives={
        "mode": mode,
        "concurrency": concurrency,
        "pool_size": pool_size,
        "pool_most": pool_most,
        "binds": binds,
    },
    check=_one_connection_for_each_pool,
    rows=_pool_size_rows,
)


def steady_connections(b: Budget) -> int:
    """Connections in all pools while no host reloads, those of consumers included."""
    return b.hosts * host_connections(b) + promised_elsewhere(b)


def peak_connections(b: Budget) -> int:
    """Connections in all pools at the worst moment of a deployment (B021)."""
    if shares_host(b):
        return hosts_at_peak(b) * host_connections(b) + promised_elsewhere(b)
    return pools_at_peak(b) * pool_size(b) + promised(b)


def headroom(b: Budget) -> int:
    """Connections that neither the peak nor the reserve uses."""
    return for_the_application(b) - peak_connections(b)


def hosts_left(b: Budget) -> int:
    """Hosts that can be added with pools of this size."""
    return _hosts_with_pools_of(b, pool_size(b)) - hosts_at_peak(b)


def hosts_left_smallest_pool(b: Budget) -> int:
    """Hosts that can be added with one connection in each pool."""
    return _hosts_with_pools_of(b, 1) - hosts_at_peak(b)


def _hosts_with_pools_of(b: Budget, size: int) -> int:
    workers = pools_of_a_host(b) * size
    left = for_the_application(b) - promised_elsewhere(b)
    if not shares_host(b):
        return (left - b.reloading_hosts * workers) // (workers + promised_on_host(b))
    # One connection is enough for an old and a new worker together, which take turns.
    old_and_new = workers if size == 1 else 2 * workers
    return left // (old_and_new + promised_on_host(b))


def _connections_rows(b: Budget) -> Iterable[Row]:
    hosts = hosts_at_peak(b)
    if shares_host(b):
        elsewhere = f" + {promised_elsewhere(b)} elsewhere" if promised_elsewhere(b) else ""
        yield Row(
            "connections",
            "connections, steady",
            steady_connections(b),
            "connections",
            f"{count(b.hosts, 'hosts')} x {host_connections(b)}{elsewhere}",
            "a reload takes no more",
        )
        yield Row(
            "connections",
            "connections, at a deployment",
            peak_connections(b),
            "connections",
            (f"({b.hosts} + {b.extra_hosts})" if b.extra_hosts else f"{b.hosts}")
            + f" {noun(hosts, 'hosts')} x {host_connections(b)}{elsewhere}",
            f"{headroom(b)} of {b.max_connections} - {reserve(b)}",
        )
        return
    steady = b.hosts * promised_on_host(b) + promised_elsewhere(b)
    yield Row(
        "connections",
        "connections, steady",
        steady_connections(b),
        "connections",
        f"{count(b.hosts, 'hosts')} x {count(b.workers, 'workers')} "
        f"x {b.database_aliases} of DATABASES x {pool_size(b)}"
        + (f" + {steady} promised" if steady else ""),
        f"{peak_connections(b) - steady_connections(b)} for a reload",
    )
    yield Row(
        "connections",
        "connections, at a reload",
        peak_connections(b),
        "connections",
        f"({b.hosts} + {f'{b.extra_hosts} + ' if b.extra_hosts else ''}{b.reloading_hosts}) "
        f"{noun(hosts + b.reloading_hosts, 'hosts')} "
        f"x {b.workers} x {b.database_aliases} x {pool_size(b)}"
        + (f" + {promised(b)} promised" if promised(b) else ""),
        f"{headroom(b)} of {b.max_connections} - {reserve(b)}",
    )


B021 = Rule(
    id="B021",
    title="Peak connections",
    text=(
        "`(H + E + S) x W x P x K + promised + R <= M`, always. "
        'With `sharing = "host"`: `(H + E) x N + promised elsewhere + R <= M`.'
    ),
    why=(
        "A reload (HUP) starts all new workers before it stops the old ones, so S hosts count "
        "twice, unless old and new workers share the connections of their host."
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


def _host_row(b: Budget) -> Iterable[Row]:
    if shares_host(b):
        elsewhere = f" - {promised_elsewhere(b)} elsewhere" if promised_elsewhere(b) else ""
        yield Row(
            "connections",
            "one host (HOST_CONNS)",
            host_connections(b),
            "connections",
            f"({b.max_connections} - {reserve(b)}{elsewhere}) / {count(hosts_at_peak(b), 'hosts')}",
            "shared by all of its processes",
        )


B024 = Rule(
    id="B024",
    title="Connections of one host",
    text=(
        'With `sharing = "host"`: `N = floor((M - R - promised elsewhere) / (H + E))`, at least '
        "one for each worker and alias beside what is promised on a host. All processes of a host "
        "share N: old and new workers at a reload, commands and consumers. S costs no connections "
        "then; it says how many hosts a deployment restarts at once. With `process`: `W x K x P` "
        "and what is promised on a host."
    ),
    why=(
        "A fixed share lies idle beside a worker that starves, and half of all shares of one host "
        "are for a reload. The kernel's locks on a file count across processes, and forget a "
        "process that dies."
    ),
    source="fcntl(2), open file description locks",
    enforced_by="mysql_pool",
    gives={"host_connections": host_connections},
    rows=_host_row,
)


# A worker's guarantee is idle while the worker is. A tenth leaves nine for whoever is busy.
GUARANTEED_PART = 10


def _guaranteed_row(b: Budget) -> Iterable[Row]:
    if shares_host(b):
        taken = f" - {promised_on_host(b)} promised" if promised_on_host(b) else ""
        yield Row(
            "connections",
            "one pool at least (GUARANTEED)",
            guaranteed(b),
            "connections",
            f"({host_connections(b)} of the host{taken}) / ({GUARANTEED_PART} x "
            f"{count(pools_of_a_host(b), 'pools')}), at least 1",
        )


B025 = Rule(
    id="B025",
    title="What a worker may always open",
    text=(
        'With `sharing = "host"`: `min(C, max(1, floor((N - promised on a host) / '
        f"({GUARANTEED_PART} x W x K))))` for each worker and alias, `connections` for each "
        "process of a consumer, 1 for any other command. What nobody else wants may be opened "
        "beyond it. With `process` it is P."
    ),
    why=(
        "A worker that was idle answers its next requests at once, however busy the others are. "
        f"The workers' guarantees take a {GUARANTEED_PART}th of the host, old and new ones a fifth."
    ),
    source="Bertsekas and Gallager, Data Networks, 6.5.2 (max-min fairness)",
    enforced_by="mysql_pool",
    gives={"guaranteed": guaranteed},
    rows=_guaranteed_row,
)

RULES = (B020, B021, B022, B023, B024, B025)
