"""The numbers that are chosen: `Budget`, with the range, unit and help of each field; `Consumer`.

Not for what follows from them nor for whether they fit together: that is in rules/.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

WORKER_CLASSES = ("gevent", "gthread", "sync")
#: Who counts connections together: the pools of one process, or those of a whole host.
SHARINGS = ("process", "host")
TABLES = ("server", "application", "connections", "timeouts")


def _number(default: int, low: int, high: int, table: str, unit: str, text: str) -> Any:
    """A whole number from `low` to `high`, kept in `table` of budget.toml."""
    metadata = {"low": low, "high": high, "table": table, "unit": unit, "help": text}
    return field(default=default, metadata=metadata)


def _choice(default: str, choices: tuple[str, ...], text: str) -> Any:
    """One of `choices`, a word kept in [application] of budget.toml."""
    metadata = {"choices": choices, "table": "application", "unit": "", "help": text}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """Processes beside the web workers that use the pool: a table [consumers.NAME].

    Raises ValueError for a number out of its range: rules/reading.py says so to who wrote a file.
    """

    name: str
    processes: int = _number(1, 1, 1000, "consumers", "processes", "processes of one machine")
    connections: int = _number(
        1,
        1,
        1000,
        "consumers",
        "connections",
        "promised to each process, for each entry of DATABASES that points to this server",
    )
    machines: int = _number(
        0,
        0,
        1000,
        "consumers",
        "machines",
        "machines of their own; 0: the processes run on every application host",
    )

    def __post_init__(self) -> None:
        for name in CONSUMER_FIELDS:
            value = getattr(self, name)
            if not is_in_range(CONSUMER_FIELDS[name].metadata, value):
                raise ValueError(f"Consumer {self.name!r}: {name} is {value!r}, out of its range")


CONSUMER_FIELDS = {each.name: each for each in fields(Consumer) if each.name != "name"}


def is_in_range(metadata: Mapping[str, Any], value: Any) -> bool:
    """Whether `value` is a whole number in the range of the field with this `metadata`."""
    # bool is a subclass of int: `workers = true` is a mistake, not one worker.
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and metadata["low"] <= value <= metadata["high"]


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
    worker_class: str = _choice("gevent", WORKER_CLASSES, "gevent, gthread or sync")
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
    sharing: str = _choice(
        "process",
        SHARINGS,
        "process: each worker has a fixed share of the connections; host: all processes of a host "
        "share them, through a file that all of them can open (Linux)",
    )
    extra_hosts: int = _number(
        0,
        0,
        1000,
        "application",
        "hosts",
        "hosts that stand beside the others during a deployment (blue and green)",
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
    # [consumers.NAME]
    consumers: tuple[Consumer, ...] = ()


#: The fields that are one value each: a key in the file, a variable, an option.
FIELDS = {each.name: each for each in fields(Budget) if each.name != "consumers"}
#: Of these, what is a word.
CHOICES: dict[str, tuple[str, ...]] = {
    name: each.metadata["choices"] for name, each in FIELDS.items() if "choices" in each.metadata
}


def low(name: str) -> int:
    """The smallest value that field `name` accepts."""
    value: int = FIELDS[name].metadata["low"]
    return value


def high(name: str) -> int:
    """The largest value that field `name` accepts."""
    value: int = FIELDS[name].metadata["high"]
    return value
