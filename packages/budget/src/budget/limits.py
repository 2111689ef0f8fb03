"""The limits of a `Plan` as rows for a person: name, value, the rule in numbers, who enforces it.

Not for computing them (plan.py) nor for showing them (report.py).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from budget.check import buffer_pool_room, longest_age, pools_at_peak, threads_of_worker
from budget.rules import RULES

if TYPE_CHECKING:
    from budget.plan import Plan


@dataclass(frozen=True)
class Limit:
    """One limit, with the rule in the plan's own numbers and what is left ("-": not counted)."""

    name: str
    value: int
    unit: str
    rule_id: str
    rule: str
    enforced_by: str
    left: str


def count(number: int, nouns: str) -> str:
    """`number` and its noun, given in the plural: "1 host", "2 hosts"."""
    return f"{number} {nouns.removesuffix('s') if number == 1 and len(nouns) > 1 else nouns}"


def limits_of(p: "Plan") -> tuple[Limit, ...]:
    b = p.budget
    share = f"({b.max_connections} - {b.reserved}) / {pools_at_peak(b)} pools"
    waiting = p.concurrency - p.pool_size
    usable = longest_age(b.wait_timeout)
    rows = (
        ("pool size (MAX_CONNS)", p.pool_size, "connections", "B020",
         f"min({p.concurrency} requests, {share})",
         f"{waiting} of {p.concurrency} requests may have to wait" if waiting else "nobody waits"),
        ("connections, steady", p.steady_connections, "connections", "B021",
         f"{count(b.hosts, 'hosts')} x {count(b.workers, 'workers')} "
         f"x {b.database_aliases} of DATABASES x {p.pool_size}",
         f"{p.peak_connections - p.steady_connections} for a reload"),
        ("connections, at a reload", p.peak_connections, "connections", "B021",
         f"({b.hosts} + {b.reloading_hosts}) hosts x {b.workers} x {b.database_aliases} "
         f"x {p.pool_size}",
         f"{p.headroom} of {b.max_connections} - {b.reserved}"),
        ("MAX_USER_CONNECTIONS", p.max_user_connections, "connections", "B022",
         f"{b.max_connections} - {b.reserved} reserved", f"{b.reserved} for everyone else"),
        ("waiters (MAX_WAITING)", p.max_waiting, "requests", "B023",
         f"{p.concurrency} requests of one worker", "-"),
        ("CONN_MAX_AGE", p.conn_max_age, "s", "B030",
         f"at most wait_timeout {b.wait_timeout} - {b.wait_timeout - usable}",
         f"{usable - p.conn_max_age} s"),
        ("idle limit (MAX_IDLE)", p.max_idle, "s", "B031",
         f"min({p.conn_max_age}, {usable}) / 2", f"{usable - p.max_idle} s"),
        ("wait_timeout", b.wait_timeout, "s", "B032",
         f"above request_deadline {b.request_deadline} by {b.wait_timeout - usable}",
         f"{usable - b.request_deadline} s"),
        ("POOL_TIMEOUT", p.pool_timeout, "s", "B040",
         f"below request_deadline {b.request_deadline}",
         f"{b.request_deadline - p.pool_timeout - 1} s"),
        ("proxy_read_timeout", p.proxy_read_timeout, "s", "B041",
         f"above request_deadline {b.request_deadline}",
         f"{p.proxy_read_timeout - b.request_deadline - 1} s"),
        ("graceful_timeout", p.graceful_timeout, "s", "B042",
         f"not below request_deadline {b.request_deadline}",
         f"{p.graceful_timeout - b.request_deadline} s"),
        ("TimeoutStopSec", p.stop_timeout, "s", "B043",
         f"above graceful_timeout {p.graceful_timeout}",
         f"{p.stop_timeout - p.graceful_timeout - 1} s"),
        ("open_files_limit", p.open_files_limit, "files", "B050",
         f"10 + 5 x {b.max_connections} + 2 x {p.table_open_cache}", "-"),
        ("table_open_cache", p.table_open_cache, "tables", "B051",
         f"8 x {b.max_connections}, from 2000 to 16384", "-"),
        ("thread_cache_size", p.thread_cache_size, "threads", "B052",
         f"{p.peak_connections} connections at a reload, at most 16384", "-"),
        ("back_log", p.back_log, "connections", "B053",
         f"max_connections {b.max_connections}, at most 65535", "-"),
        ("innodb_buffer_pool_size", p.innodb_buffer_pool_mb, "MiB", "B055",
         f"80 % of {b.memory_mb} - 256 - 3 x {b.max_connections}, rounded down",
         f"{buffer_pool_room(b) - p.innodb_buffer_pool_mb} MiB"),
        ("memory of the database host", p.server_memtotal_mb, "MiB", "B056",
         f"90 % of {b.memory_mb}, by its own account", "-"),
        ("net.core.somaxconn", p.somaxconn, "connections", "B054",
         f"max(4096, back_log {p.back_log}, backlog {p.backlog})", "-"),
        ("backlog", p.backlog, "clients", "B060",
         f"{count(b.workers, 'workers')} x {p.concurrency} requests, from 64 to 4096", "-"),
        ("LimitNOFILE of Gunicorn", p.app_open_files, "files", "B061",
         "2 x clients + 2 x connections + 128, at least 1024", "-"),
        ("TasksMax of Gunicorn", p.app_tasks_max, "tasks", "B065",
         f"2 x {count(b.workers, 'workers')} x ({threads_of_worker(b)} threads + 14) + 32", "-"),
        ("MemoryMax of Gunicorn", p.app_memory_max_mb, "MiB", "B066",
         f"75 % of {b.app_memory_mb}",
         f"{p.app_memory_max_mb // (2 * b.workers)} MiB for each worker at a reload"),
        ("memory of an application host", p.app_memtotal_mb, "MiB", "B056",
         f"90 % of {b.app_memory_mb}, by its own account", "-"),
        ("max_conns of a host", p.nginx_max_conns, "clients", "B062",
         f"{count(b.workers, 'workers')} x {p.concurrency} requests + backlog {p.backlog}", "-"),
        ("keepalive", p.nginx_keepalive, "clients", "B063",
         f"{count(b.workers, 'workers')} x {p.concurrency} requests / 4, at most 64", "-"),
        ("worker_connections of nginx", p.nginx_worker_connections, "connections", "B067",
         f"4 x {p.nginx_max_conns} x {count(b.hosts, 'hosts')}, at least 2048", "-"),
        ("worker_rlimit_nofile", p.nginx_open_files, "files", "B068",
         f"2 x {p.nginx_worker_connections}", "-"),
        ("batch of a deployment", p.batch_size, "hosts", "B064",
         f"reloading_hosts {b.reloading_hosts}, at least 1", "-"),
    )  # fmt: skip
    return tuple(
        Limit(name, value, unit, rule_id, rule, RULES[rule_id].enforced_by, left)
        for name, value, unit, rule_id, rule, left in rows
    )
