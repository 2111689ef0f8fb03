"""Rules of how old and how idle a connection may become. Times are in seconds."""

from collections.abc import Iterable

from budget.fields import Budget
from budget.rule import Refusal, Row, Rule


class AgeLimits:
    """The part of a `Plan` that these rules give, in seconds."""

    max_idle: int
    conn_max_age: int


# The pool ends a connection before the server does by this part of wait_timeout.
MARGIN_PART = 10
MARGIN_MIN = 1


def longest_age(wait_timeout: int) -> int:
    """The longest that a connection may live or idle: `wait_timeout` less the margin (B030)."""
    return wait_timeout - max(MARGIN_MIN, -(-wait_timeout // MARGIN_PART))


def smallest_wait_timeout(age: int) -> int:
    """The smallest `wait_timeout` whose `longest_age` is not below `age`."""
    guess = age + 1
    while longest_age(guess) < age:
        guess += age - longest_age(guess)
    return guess


def _younger_than_the_server_allows(b: Budget) -> Refusal | None:
    longest = longest_age(b.wait_timeout)
    if b.conn_max_age <= longest:
        return None
    return Refusal(
        "conn_max_age",
        f"must be below wait_timeout = {b.wait_timeout} by {b.wait_timeout - longest} s, or "
        "the server closes connections that are about to be used",
        ({"conn_max_age": longest}, {"wait_timeout": smallest_wait_timeout(b.conn_max_age)}),
    )


def _age_row(b: Budget) -> Iterable[Row]:
    longest = longest_age(b.wait_timeout)
    yield Row(
        "ages",
        "CONN_MAX_AGE",
        b.conn_max_age,
        "s",
        f"at most wait_timeout {b.wait_timeout} - {b.wait_timeout - longest}",
        f"{longest - b.conn_max_age} s",
    )


B030 = Rule(
    id="B030",
    title="CONN_MAX_AGE below wait_timeout",
    text=(
        f"`A <= T - margin`. The margin is T / {MARGIN_PART}, rounded up, and at least "
        f"{MARGIN_MIN} s. A = 0 is allowed and means that no connection is kept for the next "
        "request. None is refused."
    ),
    why=(
        "The server counts from its last answer, the pool from its own clock. A busy event loop "
        "lies between the two and, when a packet is lost, TCP's first retransmission after 1 s. "
        "Without a margin: (2006) server has gone away."
    ),
    source="MySQL manual, wait_timeout; RFC 6298 section 2; Django, Persistent connections",
    enforced_by="mysql_pool",
    gives={"conn_max_age": lambda b: b.conn_max_age},
    check=_younger_than_the_server_allows,
    rows=_age_row,
)


# A connection may be idle for this part of its longest life.
IDLE_PART = 2


def max_idle(b: Budget) -> int:
    """Seconds after which the pool closes an idle connection (B031)."""
    return -(-min(b.conn_max_age, longest_age(b.wait_timeout)) // IDLE_PART)


def _idle_row(b: Budget) -> Iterable[Row]:
    longest = longest_age(b.wait_timeout)
    yield Row(
        "ages",
        "idle limit (MAX_IDLE)",
        max_idle(b),
        "s",
        f"min({b.conn_max_age}, {longest}) / {IDLE_PART}",
        f"{longest - max_idle(b)} s",
    )


B031 = Rule(
    id="B031",
    title="Idle limit of a pooled connection",
    text=f"`min(A, T - margin) / {IDLE_PART}`, rounded up.",
    why=(
        "A burst opens connections that nobody needs afterwards. The pool closes them well before "
        "they are old, and long before the server would."
    ),
    source="HikariCP, idleTimeout below maxLifetime",
    enforced_by="mysql_pool",
    gives={"max_idle": max_idle},
    rows=_idle_row,
)


def _server_waits_for_a_request(b: Budget) -> Refusal | None:
    if longest_age(b.wait_timeout) >= b.request_deadline:
        return None
    enough = smallest_wait_timeout(b.request_deadline)
    return Refusal(
        "wait_timeout",
        f"must be at least {enough} for request_deadline = {b.request_deadline}, or the server "
        "hangs up on a request in the middle of its transaction",
        ({"wait_timeout": enough},),
    )


def _wait_timeout_row(b: Budget) -> Iterable[Row]:
    longest = longest_age(b.wait_timeout)
    yield Row(
        "ages",
        "wait_timeout",
        b.wait_timeout,
        "s",
        f"above request_deadline {b.request_deadline} by {b.wait_timeout - longest}",
        f"{longest - b.request_deadline} s",
    )


B032 = Rule(
    id="B032",
    title="wait_timeout above the request deadline",
    text="`request_deadline <= T - margin`.",
    why=(
        "A request may wait for something else in the middle of a transaction. The server must not "
        "hang up on it while it still has time."
    ),
    source="MySQL manual, wait_timeout",
    enforced_by="database server",
    check=_server_waits_for_a_request,
    rows=_wait_timeout_row,
    server_options={"wait_timeout": lambda b: b.wait_timeout},
)

# B030 sees the wait_timeout that B032 has asked for.
RULES = (B032, B030, B031)
