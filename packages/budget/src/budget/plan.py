"""All arithmetic of the connection budget: a `Budget` goes in, a `Plan` with every limit comes out.

Not for reading files or the environment (source.py), nor for showing anything (report.py). The
letters in the formulas, here and in rules.py:

    M max_connections    R reserved    A conn_max_age    T wait_timeout
    H hosts    S reloading_hosts    W workers of one host    K database_aliases
    C requests that one worker serves at once    P connections of one worker and alias: its pool
"""

from dataclasses import asdict, dataclass
from typing import Any

from budget.check import (
    BudgetError,
    Problem,
    buffer_pool_room,
    check,
    longest_age,
    pools_at_peak,
    smallest_memtotal,
    threads_of_worker,
)
from budget.fields import Budget
from budget.limits import Limit, limits_of

__all__ = ["Budget", "BudgetError", "Limit", "Plan", "Problem", "check", "plan"]

# The servers' and the kernel's own ceilings and defaults (B051 to B054, B060, B067).
TABLES_PER_CONNECTION = 8
TABLE_OPEN_CACHE = (2000, 16_384)
THREAD_CACHE_MAX = 16_384
BACK_LOG_MAX = 65_535
SOMAXCONN_DEFAULT = 4096
BACKLOG_MIN = 64
NGINX_CONNECTIONS_MIN = 2048
GIB = 1024
BUFFER_POOL_STEP = 128

# What Gunicorn's unit may take (B065, B066).
TASKS_PER_WORKER = 14
TASKS_SPARE = 32
APP_MEMORY_PERCENT = 75


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that follows from a `budget` that fits. Times are in seconds, memory in MiB."""

    budget: Budget
    # Connections of the application
    mode: str  # "guaranteed": no request waits for a connection; "shared": some may
    concurrency: int  # requests that one worker serves at once
    pool_size: int  # MAX_CONNS of each worker and alias
    binds: str  # the field that keeps the pool from being larger
    steady_connections: int
    peak_connections: int  # while reloading_hosts run old and new workers
    headroom: int  # connections that neither the peak nor the reserve uses
    hosts_left: int  # hosts that can be added with pools of this size
    hosts_left_smallest_pool: int  # the same with one connection a pool
    max_user_connections: int  # of the application's account
    max_waiting: int  # in one pool
    max_idle: int
    conn_max_age: int
    pool_timeout: int
    # Times around one request
    request_deadline: int
    proxy_read_timeout: int
    graceful_timeout: int
    stop_timeout: int
    # The database server
    open_files_limit: int
    table_open_cache: int
    thread_cache_size: int
    back_log: int
    innodb_buffer_pool_mb: int
    # Application hosts
    app_open_files: int  # LimitNOFILE of Gunicorn's unit
    app_tasks_max: int  # its TasksMax
    app_memory_max_mb: int  # its MemoryMax
    backlog: int
    somaxconn: int  # on every host
    nginx_max_conns: int  # of one host
    nginx_keepalive: int
    nginx_worker_connections: int
    nginx_open_files: int  # worker_rlimit_nofile
    batch_size: int  # hosts of one step of a rolling deployment
    # What a deployment accepts as a host of the planned size
    server_memtotal_mb: int
    app_memtotal_mb: int

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Every limit with its rule in numbers, in the order in which a person reads them."""
        return limits_of(self)

    def server_options(self) -> dict[str, str]:
        """Options of mysqld and mariadbd (both know these names), as they are written in my.cnf."""
        return {
            "max_connections": str(self.budget.max_connections),
            "wait_timeout": str(self.budget.wait_timeout),
            "open_files_limit": str(self.open_files_limit),
            "table_open_cache": str(self.table_open_cache),
            "thread_cache_size": str(self.thread_cache_size),
            "back_log": str(self.back_log),
            "innodb_buffer_pool_size": f"{self.innodb_buffer_pool_mb}M",
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, limits and server options included, in types that JSON knows."""
        return asdict(self) | {
            "limits": [asdict(limit) for limit in self.limits],
            "server_options": self.server_options(),
        }


def plan(budget: Budget) -> Plan:
    """Everything that follows from `budget`.

    Raises BudgetError, which names every broken rule and what would do, if it does not fit.
    """
    problems = check(budget)
    if problems:
        raise BudgetError(problems)
    b = budget
    concurrency = {"gevent": b.worker_connections, "gthread": b.threads, "sync": 1}[b.worker_class]
    pools = pools_at_peak(b)
    pool_size = min(concurrency, (b.max_connections - b.reserved) // pools)
    guaranteed = pool_size == concurrency
    knob = {"gevent": "worker_connections", "gthread": "threads", "sync": "worker_class"}
    peak = pools * pool_size
    hosts_at_one = (b.max_connections - b.reserved) // (b.workers * b.database_aliases)
    hosts_planned = b.hosts + b.reloading_hosts

    units_of_host = b.workers * concurrency
    clients = b.worker_connections if b.worker_class == "gthread" else concurrency
    backlog = min(max(units_of_host, BACKLOG_MIN), SOMAXCONN_DEFAULT)
    back_log = min(b.max_connections, BACK_LOG_MAX)
    tables = min(
        max(b.max_connections * TABLES_PER_CONNECTION, TABLE_OPEN_CACHE[0]), TABLE_OPEN_CACHE[1]
    )
    nginx_max_conns = units_of_host + backlog
    nginx_connections = max(NGINX_CONNECTIONS_MIN, 4 * nginx_max_conns * b.hosts)
    room = buffer_pool_room(b)
    # The server rounds up to a multiple of these, past the memory it has: round down before (B055).
    step = GIB if room >= GIB else BUFFER_POOL_STEP

    return Plan(
        budget=b,
        mode="guaranteed" if guaranteed else "shared",
        concurrency=concurrency,
        pool_size=pool_size,
        binds=knob[b.worker_class] if guaranteed else "max_connections",
        steady_connections=b.hosts * b.workers * b.database_aliases * pool_size,
        peak_connections=peak,
        headroom=b.max_connections - b.reserved - peak,
        hosts_left=hosts_at_one // pool_size - hosts_planned,
        hosts_left_smallest_pool=hosts_at_one - hosts_planned,
        max_user_connections=b.max_connections - b.reserved,
        max_waiting=concurrency,
        max_idle=-(-min(b.conn_max_age, longest_age(b.wait_timeout)) // 2),
        conn_max_age=b.conn_max_age,
        pool_timeout=b.pool_timeout,
        request_deadline=b.request_deadline,
        proxy_read_timeout=b.proxy_read_timeout,
        graceful_timeout=b.graceful_timeout,
        stop_timeout=b.stop_timeout,
        open_files_limit=10 + 5 * b.max_connections + 2 * tables,
        table_open_cache=tables,
        thread_cache_size=min(peak, THREAD_CACHE_MAX),
        back_log=back_log,
        innodb_buffer_pool_mb=room // step * step,
        app_open_files=max(1024, 2 * clients + 2 * pool_size * b.database_aliases + 128),
        app_tasks_max=2 * b.workers * (threads_of_worker(b) + TASKS_PER_WORKER) + TASKS_SPARE,
        app_memory_max_mb=b.app_memory_mb * APP_MEMORY_PERCENT // 100,
        backlog=backlog,
        somaxconn=max(SOMAXCONN_DEFAULT, back_log, backlog),
        nginx_max_conns=nginx_max_conns,
        nginx_keepalive=0 if b.worker_class == "sync" else min(max(units_of_host // 4, 1), 64),
        nginx_worker_connections=nginx_connections,
        nginx_open_files=2 * nginx_connections,
        batch_size=max(1, b.reloading_hosts),
        server_memtotal_mb=smallest_memtotal(b.memory_mb),
        app_memtotal_mb=smallest_memtotal(b.app_memory_mb),
    )
