"""The numbers that are chosen: `Budget`, with the range, unit and help of each field.

Not for what follows from them nor for whether they fit together: that is in rules/.
"""

from dataclasses import dataclass, field, fields
from typing import Any

WORKER_CLASSES = ("gevent", "gthread", "sync")
TABLES = ("server", "application", "connections", "timeouts")


def _number(default: int, low: int, high: int, table: str, unit: str, text: str) -> Any:
    """A whole number from `low` to `high`, kept in `table` of budget.toml."""
    metadata = {"low": low, "high": high, "table": table, "unit": unit, "help": text}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The inputs. Times are in seconds, memory in MiB; each field's metadata has range and help.

    Making one checks nothing: `budget.check.check` and `budget.plan.plan` check everything at once.
    """

    # [server]
    max_connections: int = _number(
        151, 10, 100_000, "server", "connections", "the server's max_connections"
    )
    reserved: int = _number(
        11,
        1,
        10_000,
        "server",
        "connections",
        "kept free from the application's account: for administrators, replication, and the "
        "accounts of migrations, jobs and monitoring",
    )
    wait_timeout: int = _number(
        600, 3, 31_536_000, "server", "s", "the server closes connections that are idle for longer"
    )
    memory_mb: int = _number(
        2048, 256, 16_777_216, "server", "MiB", "memory of the database server's host"
    )
    # [application]
    hosts: int = _number(1, 1, 1000, "application", "hosts", "application hosts")
    reloading_hosts: int = _number(
        1,
        0,
        1000,
        "application",
        "hosts",
        "hosts that may reload at once: each runs old and new workers side by side",
    )
    workers: int = _number(2, 1, 1000, "application", "workers", "Gunicorn workers of one host")
    worker_class: str = field(
        default="gevent",
        metadata={"table": "application", "unit": "", "help": "gevent, gthread or sync"},
    )
    worker_connections: int = _number(
        100, 1, 100_000, "application", "clients", "clients of one worker at once (gevent, gthread)"
    )
    threads: int = _number(
        8, 1, 1000, "application", "threads", "threads of one worker (gthread only)"
    )
    app_memory_mb: int = _number(
        2048, 256, 16_777_216, "application", "MiB", "memory of one application host"
    )
    database_aliases: int = _number(
        1, 1, 16, "application", "aliases", "entries of DATABASES that point to this server"
    )
    # [connections]
    conn_max_age: int = _number(
        60,
        0,
        31_536_000,
        "connections",
        "s",
        "longest life of a connection; 0: none is kept for the next request",
    )
    pool_timeout: int = _number(
        5, 1, 3600, "connections", "s", "a request waits for a connection at most this long"
    )
    # [timeouts]
    request_deadline: int = _number(
        30,
        2,
        3600,
        "timeouts",
        "s",
        "Gunicorn's timeout: it ends a sync request that takes longer; of the other classes it "
        "replaces a worker that hangs for longer",
    )
    graceful_timeout: int = _number(
        30,
        2,
        7200,
        "timeouts",
        "s",
        "Gunicorn gives running requests this long at a reload or stop",
    )
    proxy_read_timeout: int = _number(
        35, 3, 7200, "timeouts", "s", "nginx waits this long for an answer"
    )
    stop_timeout: int = _number(
        40, 3, 14_400, "timeouts", "s", "systemd's TimeoutStopSec: after it comes SIGKILL"
    )


FIELDS = {each.name: each for each in fields(Budget)}


def low(name: str) -> int:
    """The smallest value that field `name` accepts."""
    value: int = FIELDS[name].metadata["low"]
    return value


def high(name: str) -> int:
    """The largest value that field `name` accepts."""
    value: int = FIELDS[name].metadata["high"]
    return value
