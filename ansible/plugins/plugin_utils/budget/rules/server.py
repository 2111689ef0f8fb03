"""Rules of the options of the database server. Memory is in MiB."""

from collections.abc import Iterable

from budget.counting import count
from budget.fields import Budget
from budget.rule import Refusal, Row, Rule
from budget.rules.connections import peak_connections

PART = "database server"


class ServerLimits:
    """The part of a `Plan` that these rules give; memory in MiB."""

    open_files_limit: int
    table_open_cache: int
    thread_cache_size: int
    back_log: int
    innodb_buffer_pool_mb: int


# Files of one connection, of one open table, and of the server beside them.
FILES_PER_CONNECTION = 5
FILES_PER_TABLE = 2
FILES_SPARE = 10


def open_files_limit(b: Budget) -> int:
    """Files that the server may open (B050)."""
    return (
        FILES_SPARE
        + FILES_PER_CONNECTION * b.max_connections
        + FILES_PER_TABLE * table_open_cache(b)
    )


def _files_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "open_files_limit",
        open_files_limit(b),
        "files",
        f"{FILES_SPARE} + {FILES_PER_CONNECTION} x {b.max_connections} + {FILES_PER_TABLE} x "
        f"{table_open_cache(b)}",
    )


B050 = Rule(
    id="B050",
    title="open_files_limit, and LimitNOFILE of the server's unit",
    text=f"`{FILES_SPARE} + {FILES_PER_CONNECTION} x M + {FILES_PER_TABLE} x table_open_cache`.",
    why=(
        "With fewer files MySQL lowers max_connections and says so only in its log (with 1024 "
        "files, to 214). MariaDB 10.11 keeps the number, and fails when it is out of files."
    ),
    source=(
        "mysqld.cc: adjust_open_files_limit() wants max(10 + M + 2 x table_open_cache, 5 x M), "
        "adjust_max_connections() leaves files - 10 - 2 x 400; MariaDB 10.11 warns from 30 + M + "
        "2 x table_open_cache on"
    ),
    enforced_by="database server, systemd",
    gives={"open_files_limit": open_files_limit},
    rows=_files_row,
    server_options={"open_files_limit": open_files_limit},
)


TABLES_PER_CONNECTION = 8
TABLES_MIN, TABLES_MAX = 2000, 16_384


def table_open_cache(b: Budget) -> int:
    """Open tables that the server keeps (B051)."""
    return min(max(b.max_connections * TABLES_PER_CONNECTION, TABLES_MIN), TABLES_MAX)


def _tables_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "table_open_cache",
        table_open_cache(b),
        "tables",
        f"{TABLES_PER_CONNECTION} x {b.max_connections}, from {TABLES_MIN} to {TABLES_MAX}",
    )


B051 = Rule(
    id="B051",
    title="table_open_cache",
    text=f"`{TABLES_PER_CONNECTION} x M`, at least {TABLES_MIN}, at most {TABLES_MAX}.",
    why=(
        "Each connection holds its own handle of each table it uses; a join of eight tables is a "
        f"large one. {TABLES_MIN} is MariaDB's default, and more than {TABLES_MAX} costs more "
        "files than it saves time."
    ),
    source="MySQL manual, How MySQL Opens and Closes Tables",
    enforced_by="database server",
    gives={"table_open_cache": table_open_cache},
    rows=_tables_row,
    server_options={"table_open_cache": table_open_cache},
)


THREAD_CACHE_MAX = 16_384  # the option's own maximum


def thread_cache_size(b: Budget) -> int:
    """Threads that the server keeps for the next connections (B052)."""
    return min(peak_connections(b), THREAD_CACHE_MAX)


def _threads_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "thread_cache_size",
        thread_cache_size(b),
        "threads",
        f"{count(peak_connections(b), 'connections')} at a reload, at most {THREAD_CACHE_MAX}",
    )


B052 = Rule(
    id="B052",
    title="thread_cache_size",
    text=f"The peak of connections (B021), at most {THREAD_CACHE_MAX}.",
    why=(
        "A reload closes and opens all connections. The server keeps their threads instead of "
        "making new ones."
    ),
    source="MySQL manual, thread_cache_size",
    enforced_by="database server",
    gives={"thread_cache_size": thread_cache_size},
    rows=_threads_row,
    server_options={"thread_cache_size": thread_cache_size},
)


BACK_LOG_MAX = 65_535  # the option's own maximum


def back_log(b: Budget) -> int:
    """Connections that may wait until the server accepts them (B053)."""
    return min(b.max_connections, BACK_LOG_MAX)


def _back_log_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "back_log",
        back_log(b),
        "connections",
        f"max_connections {b.max_connections}, at most {BACK_LOG_MAX}",
    )


B053 = Rule(
    id="B053",
    title="back_log",
    text=f"`M`, at most {BACK_LOG_MAX}.",
    why=(
        "After a restart of the server every pool connects at once. The kernel drops a connection "
        "that finds the queue full."
    ),
    source="MySQL manual, back_log (MySQL's own default is max_connections, MariaDB's far less)",
    enforced_by="database server",
    gives={"back_log": back_log},
    rows=_back_log_row,
    server_options={"back_log": back_log},
)


MEMORY_PERCENT = 80
MEMORY_GLOBAL = 256
MEMORY_PER_CONNECTION = 3
BUFFER_POOL_MIN = 128
# The server rounds up to a multiple of these, past the memory it has: the budget rounds down first.
BUFFER_POOL_STEP = 128
LARGE_BUFFER_POOL = LARGE_BUFFER_POOL_STEP = 1024


def buffer_pool_room(b: Budget) -> int:
    """MiB that the server's other memory leaves for the buffer pool; may be negative (B055)."""
    usable = b.memory_mb * MEMORY_PERCENT // 100
    return usable - MEMORY_GLOBAL - b.max_connections * MEMORY_PER_CONNECTION


def innodb_buffer_pool_mb(b: Budget) -> int:
    """MiB of the buffer pool (B055)."""
    room = buffer_pool_room(b)
    step = LARGE_BUFFER_POOL_STEP if room >= LARGE_BUFFER_POOL else BUFFER_POOL_STEP
    return room // step * step


def _memory_for_every_connection(b: Budget) -> Refusal | None:
    if buffer_pool_room(b) >= BUFFER_POOL_MIN:
        return None
    fixed = MEMORY_GLOBAL + BUFFER_POOL_MIN
    needed = fixed + b.max_connections * MEMORY_PER_CONNECTION
    usable = b.memory_mb * MEMORY_PERCENT // 100
    return Refusal(
        "memory_mb",
        f"{MEMORY_PERCENT} % of it cannot hold {MEMORY_GLOBAL} MiB + {MEMORY_PER_CONNECTION} "
        f"MiB x max_connections {b.max_connections} + a buffer pool of {BUFFER_POOL_MIN} MiB",
        (
            {"memory_mb": -(-needed * 100 // MEMORY_PERCENT)},
            {"max_connections": (usable - fixed) // MEMORY_PER_CONNECTION},
        ),
    )


def _buffer_pool_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "innodb_buffer_pool_size",
        innodb_buffer_pool_mb(b),
        "MiB",
        f"{MEMORY_PERCENT} % of {b.memory_mb} - {MEMORY_GLOBAL} - {MEMORY_PER_CONNECTION} x "
        f"{b.max_connections}, rounded down",
        f"{buffer_pool_room(b) - innodb_buffer_pool_mb(b)} MiB",
    )


B055 = Rule(
    id="B055",
    title="innodb_buffer_pool_size against memory",
    text=(
        f"`{MEMORY_GLOBAL} MiB + {MEMORY_PER_CONNECTION} MiB x M + buffer pool <= "
        f"{MEMORY_PERCENT} % of memory_mb`. The buffer pool has at least {BUFFER_POOL_MIN} MiB. It "
        f"is rounded down to a multiple of {BUFFER_POOL_STEP} MiB, from 1 GiB on to one of 1 GiB."
    ),
    why=(
        f"A server that promises M connections must have their memory: {MEMORY_PER_CONNECTION} MiB "
        "are MariaDB's sort (2 MiB), join, read and net buffers and the stack. "
        f"{MEMORY_GLOBAL} MiB are everything else that is global. The server rounds the pool up to "
        "a multiple of chunk size (128 MiB) x instances (8 from 1 GiB on in MySQL), so the budget "
        "rounds it down before."
    ),
    source="MySQL manual, How MySQL Uses Memory; Configuring InnoDB Buffer Pool Size",
    enforced_by="database server",
    gives={"innodb_buffer_pool_mb": innodb_buffer_pool_mb},
    check=_memory_for_every_connection,
    rows=_buffer_pool_row,
    server_options={"innodb_buffer_pool_size": lambda b: f"{innodb_buffer_pool_mb(b)}M"},
)

RULES = (B050, B051, B052, B053, B055)
