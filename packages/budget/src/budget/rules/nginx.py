"""Rules of nginx in front of the application hosts."""

from collections.abc import Iterable

from budget.counting import count
from budget.fields import Budget
from budget.rule import Row, Rule
from budget.rules.gunicorn import backlog, requests_of_host, requests_text

PART = "nginx"


class NginxLimits:
    """The part of a `Plan` that these rules give."""

    nginx_max_conns: int  # of one host
    nginx_keepalive: int
    nginx_worker_connections: int
    nginx_open_files: int  # worker_rlimit_nofile


def nginx_max_conns(b: Budget) -> int:
    """Clients that nginx sends to one host at once (B062)."""
    return requests_of_host(b) + backlog(b)


def _max_conns_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "max_conns of a host",
        nginx_max_conns(b),
        "clients",
        f"{requests_text(b)} + backlog {backlog(b)}",
    )


B062 = Rule(
    id="B062",
    title="max_conns of one host in nginx's upstream",
    text="`W x C + backlog`.",
    why=(
        "The host serves and queues as many. More would only wait in the kernel until the request "
        "is too old."
    ),
    source="nginx manual, upstream server max_conns",
    enforced_by="nginx",
    gives={"nginx_max_conns": nginx_max_conns},
    rows=_max_conns_row,
)


KEEPALIVE_PART = 4
KEEPALIVE_MAX = 64


def nginx_keepalive(b: Budget) -> int:
    """Idle connections to the hosts that each of nginx's workers keeps (B063)."""
    if b.worker_class == "sync":
        return 0
    return min(max(requests_of_host(b) // KEEPALIVE_PART, 1), KEEPALIVE_MAX)


def _keepalive_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "keepalive",
        nginx_keepalive(b),
        "clients",
        f"{requests_text(b)} / {KEEPALIVE_PART}, at most {KEEPALIVE_MAX}",
    )


B063 = Rule(
    id="B063",
    title="keepalive of nginx's upstream",
    text=(
        f"`W x C / {KEEPALIVE_PART}`, from 1 to {KEEPALIVE_MAX}. 0 for sync workers, which "
        "close every connection after its request."
    ),
    why=(
        "A kept connection occupies a place among worker_connections while it is idle. Most places "
        "must stay free for new ones."
    ),
    source="nginx manual, upstream keepalive; Gunicorn settings, keepalive",
    enforced_by="nginx",
    gives={"nginx_keepalive": nginx_keepalive},
    rows=_keepalive_row,
)


# A client and its upstream, each in the old and the new workers of a reload.
CONNECTIONS_PER_CLIENT = 4
CONNECTIONS_MIN = 2048


def nginx_worker_connections(b: Budget) -> int:
    """Connections of one of nginx's workers (B067)."""
    return max(CONNECTIONS_MIN, CONNECTIONS_PER_CLIENT * nginx_max_conns(b) * b.hosts)


def _worker_connections_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "worker_connections of nginx",
        nginx_worker_connections(b),
        "connections",
        f"{CONNECTIONS_PER_CLIENT} x {nginx_max_conns(b)} x {count(b.hosts, 'hosts')}, at least "
        f"{CONNECTIONS_MIN}",
    )


B067 = Rule(
    id="B067",
    title="worker_connections of nginx",
    text=f"`{CONNECTIONS_PER_CLIENT} x max_conns x H`, at least {CONNECTIONS_MIN}.",
    why=(
        "A client and its upstream take one each. A reload keeps the old workers until their "
        "requests are done. One of nginx's workers may have all clients."
    ),
    source="nginx manual, worker_connections: proxied connections count too",
    enforced_by="nginx",
    gives={"nginx_worker_connections": nginx_worker_connections},
    rows=_worker_connections_row,
)


FILES_PER_CONNECTION = 2


def nginx_open_files(b: Budget) -> int:
    """Files that one of nginx's workers may open (B068)."""
    return FILES_PER_CONNECTION * nginx_worker_connections(b)


def _open_files_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "worker_rlimit_nofile",
        nginx_open_files(b),
        "files",
        f"{FILES_PER_CONNECTION} x {nginx_worker_connections(b)}",
    )


B068 = Rule(
    id="B068",
    title="worker_rlimit_nofile of nginx",
    text=f"`{FILES_PER_CONNECTION} x worker_connections`.",
    why=(
        "Each connection is a file. An answer that comes from the cache, or is too large for "
        "memory, opens another."
    ),
    source="nginx manual, worker_rlimit_nofile",
    enforced_by="nginx",
    gives={"nginx_open_files": nginx_open_files},
    rows=_open_files_row,
)

RULES = (B062, B063, B067, B068)
