"""Rules of Gunicorn's unit on an application host, and of the listen queues. Memory is in MiB."""

from collections.abc import Iterable

from budget.counting import count
from budget.fields import Budget
from budget.rule import Row, Rule
from budget.rules.connections import concurrency, pool_most
from budget.rules.server import back_log

PART = "Gunicorn"


class GunicornLimits:
    """The part of a `Plan` that these rules give; memory in MiB."""

    app_open_files: int  # LimitNOFILE of Gunicorn's unit
    app_tasks_max: int  # its TasksMax
    app_memory_max_mb: int  # its MemoryMax
    backlog: int
    somaxconn: int  # on every host


SOMAXCONN_DEFAULT = 4096  # the kernel's own since Linux 5.4


def somaxconn(b: Budget) -> int:
    """The longest listen queue that the kernel allows on a host (B054)."""
    return max(SOMAXCONN_DEFAULT, back_log(b), backlog(b))


def _somaxconn_row(b: Budget) -> Iterable[Row]:
    yield Row(
        "listen queues",
        "net.core.somaxconn",
        somaxconn(b),
        "connections",
        f"max({SOMAXCONN_DEFAULT}, back_log {back_log(b)}, backlog {backlog(b)})",
    )


B054 = Rule(
    id="B054",
    title="net.core.somaxconn",
    text=(
        "The longest listen queue on the host: `back_log` (B053) or `backlog` (B060). At least the "
        f"kernel's default, {SOMAXCONN_DEFAULT}."
    ),
    why="The kernel silently cuts the queue that a program asks for to this length.",
    source="listen(2)",
    enforced_by="kernel",
    gives={"somaxconn": somaxconn},
    rows=_somaxconn_row,
)


BACKLOG_MIN, BACKLOG_MAX = 64, SOMAXCONN_DEFAULT


def requests_of_host(b: Budget) -> int:
    """Requests that one host serves at once: W x C."""
    return b.workers * concurrency(b)


def backlog(b: Budget) -> int:
    """Clients that may wait until a worker of the host accepts them (B060)."""
    return min(max(requests_of_host(b), BACKLOG_MIN), BACKLOG_MAX)


def requests_text(b: Budget) -> str:
    """`requests_of_host` as a person multiplies it: "2 workers x 100 requests"."""
    return f"{count(b.workers, 'workers')} x {count(concurrency(b), 'requests')}"


def _backlog_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "backlog",
        backlog(b),
        "clients",
        f"{requests_text(b)}, from {BACKLOG_MIN} to {BACKLOG_MAX}",
    )


B060 = Rule(
    id="B060",
    title="Gunicorn's backlog",
    text=f"`W x C`, from {BACKLOG_MIN} to {BACKLOG_MAX}.",
    why=(
        "As many requests may queue as the host serves at once. A longer queue only hides that the "
        "host is full."
    ),
    source=f"Gunicorn settings, backlog; the kernel's default somaxconn is {SOMAXCONN_DEFAULT}",
    enforced_by="Gunicorn, kernel",
    gives={"backlog": backlog},
    rows=_backlog_row,
)


FILES_PER_CLIENT = 2
FILES_PER_DATABASE_CONNECTION = 2
FILES_SPARE = 128
FILES_MIN = 1024


def app_open_files(b: Budget) -> int:
    """Files that one process of Gunicorn may open (B061)."""
    clients = b.worker_connections if b.worker_class == "gthread" else concurrency(b)
    connections = pool_most(b) * b.database_aliases
    wanted = FILES_PER_CLIENT * clients + FILES_PER_DATABASE_CONNECTION * connections + FILES_SPARE
    return max(FILES_MIN, wanted)


def _open_files_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "LimitNOFILE of Gunicorn",
        app_open_files(b),
        "files",
        f"{FILES_PER_CLIENT} x clients + {FILES_PER_DATABASE_CONNECTION} x connections + "
        f"{FILES_SPARE}, at least {FILES_MIN}",
    )


B061 = Rule(
    id="B061",
    title="LimitNOFILE of Gunicorn's unit",
    text=(
        f"`{FILES_PER_CLIENT} x clients + {FILES_PER_DATABASE_CONNECTION} x MAX_CONNS x K + "
        f"{FILES_SPARE}`, at least {FILES_MIN}. The clients of a worker are C, for gthread "
        "`worker_connections`."
    ),
    why=(
        "A client has a socket, and its request may open one more to something else. A connection "
        "to the database counts twice, because for mysqlclient the pool keeps a duplicate of the C "
        "library's socket. The rest is for logs, the listener and modules."
    ),
    source="getrlimit(2), RLIMIT_NOFILE counts per process",
    enforced_by="systemd",
    gives={"app_open_files": app_open_files},
    rows=_open_files_row,
)


# The pool of gevent's hub, for what would block it: names, files, mysqlclient's connect.
HUB_THREADS = 10
TASKS_PER_WORKER = 14
TASKS_SPARE = 32


def threads_of_worker(b: Budget) -> int:
    """Threads that one worker starts beside its main one (B065)."""
    return {"gevent": HUB_THREADS, "gthread": b.threads, "sync": 0}[b.worker_class]


def app_tasks_max(b: Budget) -> int:
    """Processes and threads of Gunicorn's unit, while it reloads (B065)."""
    return 2 * b.workers * (threads_of_worker(b) + TASKS_PER_WORKER) + TASKS_SPARE


def _tasks_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "TasksMax of Gunicorn",
        app_tasks_max(b),
        "tasks",
        f"2 x {count(b.workers, 'workers')} x ({count(threads_of_worker(b), 'threads')} + "
        f"{TASKS_PER_WORKER}) + {TASKS_SPARE}",
    )


B065 = Rule(
    id="B065",
    title="TasksMax of Gunicorn's unit",
    text=(
        f"`2 x W x (threads of a worker + {TASKS_PER_WORKER}) + {TASKS_SPARE}`. A gevent worker "
        f"has {HUB_THREADS} threads (its hub's pool), a gthread worker `threads`, a sync worker "
        "none."
    ),
    why=(
        "A reload runs old and new workers side by side, so they count twice. "
        f"{TASKS_PER_WORKER} are for the worker itself and threads of libraries, {TASKS_SPARE} for "
        "the arbiter and commands beside it. A leak of threads or a fork bomb ends here, and not "
        "when the host has no pid left."
    ),
    source="systemd.resource-control(5), TasksMax; gevent, ThreadPool",
    enforced_by="systemd",
    gives={"app_tasks_max": app_tasks_max},
    rows=_tasks_row,
)


MEMORY_PERCENT = 75


def app_memory_max_mb(b: Budget) -> int:
    """MiB of Gunicorn's unit (B066)."""
    return b.app_memory_mb * MEMORY_PERCENT // 100


def _memory_row(b: Budget) -> Iterable[Row]:
    yield Row(
        PART,
        "MemoryMax of Gunicorn",
        app_memory_max_mb(b),
        "MiB",
        f"{MEMORY_PERCENT} % of {b.app_memory_mb}",
        f"{app_memory_max_mb(b) // (2 * b.workers)} MiB for each worker at a reload",
    )


B066 = Rule(
    id="B066",
    title="MemoryMax of Gunicorn's unit",
    text=f"`{MEMORY_PERCENT} % of app_memory_mb`.",
    why=(
        "A leak ends one worker, which the arbiter replaces, and not whatever the kernel chooses "
        "on the whole host. The rest is for the kernel, nginx and shells. This is a ceiling and "
        "reserves nothing. On a host that is the database server too, both ceilings together may "
        "pass its memory; there the kernel is told to end a worker first (OOMScoreAdjust)."
    ),
    source="systemd.resource-control(5), MemoryMax",
    enforced_by="systemd",
    gives={"app_memory_max_mb": app_memory_max_mb},
    rows=_memory_row,
)

RULES = (B054, B060, B061, B065, B066)
