"""Rules of the times around one request: each ends before the one around it. In seconds."""

from collections.abc import Iterable

from budget.fields import Budget
from budget.rule import Refusal, Row, Rule


class TimeoutLimits:
    """The part of a `Plan` that these rules give, in seconds."""

    pool_timeout: int
    request_deadline: int
    proxy_read_timeout: int
    graceful_timeout: int
    stop_timeout: int


def _pool_timeout_below_deadline(b: Budget) -> Refusal | None:
    if b.pool_timeout < b.request_deadline:
        return None
    return Refusal(
        "pool_timeout",
        f"must be below request_deadline = {b.request_deadline}, so that a request which gets no "
        "connection can still be told so",
        (
            {"pool_timeout": b.request_deadline // 2},
            {"request_deadline": b.pool_timeout + 1},
        ),
    )


def _pool_timeout_row(b: Budget) -> Iterable[Row]:
    yield Row(
        "timeouts",
        "POOL_TIMEOUT",
        b.pool_timeout,
        "s",
        f"below request_deadline {b.request_deadline}",
        f"{b.request_deadline - b.pool_timeout - 1} s",
    )


B040 = Rule(
    id="B040",
    title="Pool timeout below the request deadline",
    text="`pool_timeout < request_deadline`.",
    why=(
        "A request that gets no connection is to be answered: 503 with Retry-After, and not a "
        "connection that is cut."
    ),
    source="this project",
    enforced_by="mysql_pool",
    gives={
        "pool_timeout": lambda b: b.pool_timeout,
        "request_deadline": lambda b: b.request_deadline,
    },
    check=_pool_timeout_below_deadline,
    rows=_pool_timeout_row,
)


# How much longer than the request_deadline nginx waits in the budget that is proposed.
PROXY_SPARE = 5


def _nginx_waits_longer(b: Budget) -> Refusal | None:
    if b.proxy_read_timeout > b.request_deadline:
        return None
    return Refusal(
        "proxy_read_timeout",
        f"must be above request_deadline = {b.request_deadline}, or nginx gives up on answers that "
        "come in time",
        ({"proxy_read_timeout": b.request_deadline + PROXY_SPARE},),
    )


def _proxy_read_timeout_row(b: Budget) -> Iterable[Row]:
    yield Row(
        "timeouts",
        "proxy_read_timeout",
        b.proxy_read_timeout,
        "s",
        f"above request_deadline {b.request_deadline}",
        f"{b.proxy_read_timeout - b.request_deadline - 1} s",
    )


B041 = Rule(
    id="B041",
    title="proxy_read_timeout above the request deadline",
    text="`request_deadline < proxy_read_timeout`.",
    why=(
        "Otherwise nginx answers 504 while the worker, and its connection, are still busy with the "
        "request."
    ),
    source="nginx manual, proxy_read_timeout",
    enforced_by="nginx",
    gives={"proxy_read_timeout": lambda b: b.proxy_read_timeout},
    check=_nginx_waits_longer,
    rows=_proxy_read_timeout_row,
)


def _reload_lets_requests_end(b: Budget) -> Refusal | None:
    if b.graceful_timeout >= b.request_deadline:
        return None
    return Refusal(
        "graceful_timeout",
        f"must not be below request_deadline = {b.request_deadline}, or a reload cuts running "
        "requests",
        ({"graceful_timeout": b.request_deadline},),
    )


def _graceful_timeout_row(b: Budget) -> Iterable[Row]:
    yield Row(
        "timeouts",
        "graceful_timeout",
        b.graceful_timeout,
        "s",
        f"not below request_deadline {b.request_deadline}",
        f"{b.graceful_timeout - b.request_deadline} s",
    )


B042 = Rule(
    id="B042",
    title="graceful_timeout not below the request deadline",
    text="`request_deadline <= graceful_timeout`.",
    why="Otherwise every reload cuts requests that would have been answered in time.",
    source="Gunicorn settings, graceful_timeout",
    enforced_by="Gunicorn",
    gives={"graceful_timeout": lambda b: b.graceful_timeout},
    check=_reload_lets_requests_end,
    rows=_graceful_timeout_row,
)


# How much longer than the graceful_timeout systemd waits in the budget that is proposed.
STOP_SPARE = 10


def _systemd_waits_longer(b: Budget) -> Refusal | None:
    if b.stop_timeout > b.graceful_timeout:
        return None
    return Refusal(
        "stop_timeout",
        f"must be above graceful_timeout = {b.graceful_timeout}, or systemd kills workers "
        "that are ending in good order",
        ({"stop_timeout": b.graceful_timeout + STOP_SPARE},),
    )


def _stop_timeout_row(b: Budget) -> Iterable[Row]:
    yield Row(
        "timeouts",
        "TimeoutStopSec",
        b.stop_timeout,
        "s",
        f"above graceful_timeout {b.graceful_timeout}",
        f"{b.stop_timeout - b.graceful_timeout - 1} s",
    )


B043 = Rule(
    id="B043",
    title="graceful_timeout below TimeoutStopSec",
    text="`graceful_timeout < stop_timeout`.",
    why=(
        "Otherwise systemd kills Gunicorn while its requests still have time. The kernel closes "
        "the connections of a killed worker at once, but a statement that runs on one of them goes "
        "on at the server, and nobody waits for its result."
    ),
    source="systemd.service(5), TimeoutStopSec",
    enforced_by="systemd",
    gives={"stop_timeout": lambda b: b.stop_timeout},
    check=_systemd_waits_longer,
    rows=_stop_timeout_row,
)

# B043 sees the graceful_timeout that B042 has asked for.
RULES = (B040, B041, B042, B043)
