"""The text of every rule: what it says, why it is there, where it comes from, who enforces it.

The arithmetic is in plan.py. An id is never reused. `python -m budget --rules` prints this file as
docs/reference/budget.md. The letters in the formulas are explained at the top of plan.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of the budget; `source` names what convinced us."""

    id: str
    title: str
    text: str
    why: str
    source: str
    enforced_by: str


GROUPS: dict[str, tuple[Rule, ...]] = {
    "Reading the numbers": (
        Rule(
            id="B001",
            title="The file can be read",
            text="budget.toml is a readable UTF-8 file of valid TOML, of at most 64 KiB",
            why="guessing at half a file would start workers with limits nobody chose",
            source="TOML 1.0",
            enforced_by="budget.source",
        ),
        Rule(
            id="B002",
            title="No unknown tables or keys",
            text="every table and key is one of those in this reference, in its own table",
            why="a misspelt `max_conections` would silently leave the default in force",
            source="this project",
            enforced_by="budget.source",
        ),
        Rule(
            id="B003",
            title="Whole numbers in range",
            text=(
                "every number is a whole number in the field's range; in the environment ASCII "
                "digits only"
            ),
            why=(
                "`true` counts as 1 in Python, `1e3` and `٣` as numbers somewhere else; None "
                "would mean 'no limit'"
            ),
            source=(
                "MySQL and MariaDB manuals, server system variables (max_connections up to "
                "100000, wait_timeout up to 31536000)"
            ),
            enforced_by="budget.plan",
        ),
        Rule(
            id="B004",
            title="No unknown BUDGET_ variables",
            text=(
                "BUDGET_<FIELD> overrides one field, BUDGET_FILE names the file; no other "
                "BUDGET_ name exists. WEB_CONCURRENCY means workers, unless BUDGET_WORKERS is "
                "set"
            ),
            why="a misspelt override would be ignored in production",
            source="Gunicorn settings, workers: WEB_CONCURRENCY",
            enforced_by="budget.source",
        ),
        Rule(
            id="B005",
            title="A worker class the budget knows",
            text="worker_class is gevent, gthread or sync",
            why="how many requests a worker serves at once depends on it",
            source="Gunicorn settings, worker_class",
            enforced_by="budget.plan",
        ),
    ),
    "What fits together": (
        Rule(
            id="B010",
            title="No more hosts reload than there are",
            text="reloading_hosts <= hosts",
            why="the budget would keep connections for hosts that do not exist",
            source="this project",
            enforced_by="budget.plan",
        ),
        Rule(
            id="B011",
            title="A gthread worker accepts enough clients",
            text="threads <= worker_connections, for gthread",
            why=(
                "a gthread worker stops accepting at worker_connections clients: further "
                "threads would idle"
            ),
            source="gunicorn/workers/gthread.py: nr_conns < worker_connections",
            enforced_by="budget.plan",
        ),
    ),
    "Connections": (
        Rule(
            id="B020",
            title="Pool size of one worker",
            text=(
                "P = min(C, floor((M - R) / ((H + S) x W x K))), at least 1. C is "
                "worker_connections for gevent, threads for gthread, 1 for sync. P = C is the "
                "guaranteed mode: no request ever waits for a connection. P < C is the shared "
                "mode: a request waits at most pool_timeout"
            ),
            why=(
                "M is shared by every worker of every host and alias; without a division "
                "somebody gets error 1040"
            ),
            source="MySQL manual, Too many connections",
            enforced_by="mysql_pool",
        ),
        Rule(
            id="B021",
            title="Peak connections",
            text="(H + S) x W x P x K + R <= M, always",
            why=(
                "a reload (HUP) starts all new workers before it stops the old ones, so S hosts "
                "count twice"
            ),
            source="gunicorn/arbiter.py: reload() spawns, then manage_workers() ends the old",
            enforced_by="mysql_pool, deployment",
        ),
        Rule(
            id="B022",
            title="MAX_USER_CONNECTIONS of the application's account",
            text="M - R",
            why=(
                "the server itself keeps the reserve free: cron jobs and shells of the same "
                "account share the headroom, an administrator can log in whatever the "
                "application does"
            ),
            source="MySQL manual, Setting Account Resource Limits",
            enforced_by="database server",
        ),
        Rule(
            id="B023",
            title="Waiters of one pool",
            text="C",
            why=(
                "the requests of one worker can never be more; only greenlets or threads that "
                "the application starts by itself can, and for those a queue without end is a "
                "leak"
            ),
            source="this project",
            enforced_by="mysql_pool",
        ),
    ),
    "Age and idleness": (
        Rule(
            id="B030",
            title="CONN_MAX_AGE below wait_timeout",
            text=(
                "A <= T - margin, where the margin is a tenth of T, at least 1 s. A = 0 is "
                "allowed and means that every checkout opens a new connection; None is not"
            ),
            why=(
                "the server counts from its last answer, the pool from its own clock. In "
                "between lie a busy event loop and, when a packet is lost, TCP's first "
                "retransmission after 1 s. Otherwise: (2006) server has gone away"
            ),
            source="MySQL manual, wait_timeout; RFC 6298 section 2; Django, Persistent connections",
            enforced_by="mysql_pool",
        ),
        Rule(
            id="B031",
            title="Idle limit of a pooled connection",
            text="min(A, T - margin) / 2, rounded up",
            why=(
                "connections that a burst opened are given back to the server well before they "
                "are old, and long before the server closes them"
            ),
            source="HikariCP, idleTimeout below maxLifetime",
            enforced_by="mysql_pool",
        ),
        Rule(
            id="B032",
            title="wait_timeout above the request deadline",
            text="request_deadline <= T - margin",
            why=(
                "a transaction may wait for something else as long as its request lives; the "
                "server must not hang up on it"
            ),
            source="MySQL manual, wait_timeout",
            enforced_by="database server",
        ),
    ),
    "Timeouts": (
        Rule(
            id="B040",
            title="Pool timeout below the request deadline",
            text="pool_timeout < request_deadline",
            why=(
                "a request that gets no connection must still be told so: 503 with Retry-After, "
                "not a cut connection"
            ),
            source="this project",
            enforced_by="mysql_pool",
        ),
        Rule(
            id="B041",
            title="proxy_read_timeout above the request deadline",
            text="request_deadline < proxy_read_timeout",
            why=(
                "otherwise nginx answers 504 while the worker, and its connection, are still "
                "busy with the request"
            ),
            source="nginx manual, proxy_read_timeout",
            enforced_by="nginx",
        ),
        Rule(
            id="B042",
            title="graceful_timeout not below the request deadline",
            text="request_deadline <= graceful_timeout",
            why="otherwise every reload cuts requests that would have been answered in time",
            source="Gunicorn settings, graceful_timeout",
            enforced_by="Gunicorn",
        ),
        Rule(
            id="B043",
            title="graceful_timeout below TimeoutStopSec",
            text="graceful_timeout < stop_timeout",
            why=(
                "otherwise systemd kills Gunicorn, and its workers cannot say goodbye to the "
                "server: their connections stay counted until wait_timeout"
            ),
            source="systemd.service(5), TimeoutStopSec",
            enforced_by="systemd",
        ),
    ),
    "The database server": (
        Rule(
            id="B050",
            title="open_files_limit, and LimitNOFILE of the server's unit",
            text="10 + 5 x M + 2 x table_open_cache",
            why=(
                "with fewer files MySQL lowers max_connections and says so only in its log (with "
                "1024 files, to 214); MariaDB 10.11 keeps the number, and fails when it is out of "
                "files"
            ),
            source=(
                "mysqld.cc: adjust_open_files_limit() wants max(10 + M + 2 x table_open_cache, "
                "5 x M), adjust_max_connections() leaves files - 10 - 2 x 400; MariaDB 10.11 warns "
                "from 30 + M + 2 x table_open_cache on"
            ),
            enforced_by="database server, systemd",
        ),
        Rule(
            id="B051",
            title="table_open_cache",
            text="8 x M, at least 2000, at most 16384",
            why=(
                "each connection holds its own handle of each table it uses; a join of eight "
                "tables is a large one. 2000 is MariaDB's default, and more than 16384 costs "
                "more files than it saves time"
            ),
            source="MySQL manual, How MySQL Opens and Closes Tables",
            enforced_by="database server",
        ),
        Rule(
            id="B052",
            title="thread_cache_size",
            text="the peak of connections, at most 16384",
            why="a reload closes and opens them all; threads are kept instead of made anew",
            source="MySQL manual, thread_cache_size",
            enforced_by="database server",
        ),
        Rule(
            id="B053",
            title="back_log",
            text="M, at most 65535",
            why=(
                "after a restart of the server every pool connects at once; a connection that "
                "finds the queue full is dropped"
            ),
            source=(
                "MySQL manual, back_log (MySQL's own default is max_connections, MariaDB's far "
                "less)"
            ),
            enforced_by="database server",
        ),
        Rule(
            id="B054",
            title="net.core.somaxconn",
            text="the largest listen queue on the host, at least the kernel's 4096",
            why="the kernel cuts the queue that a program asks for to this, without a word",
            source="listen(2)",
            enforced_by="kernel",
        ),
        Rule(
            id="B055",
            title="innodb_buffer_pool_size against memory",
            text=(
                "256 MiB + 3 MiB x M + buffer pool <= 80 % of memory_mb, buffer pool at least "
                "128 MiB; rounded down to a multiple of 128 MiB, from 1 GiB on of 1 GiB"
            ),
            why=(
                "a server that promises M connections must have their memory: 3 MiB are "
                "MariaDB's sort (2 MiB), join, read and net buffers and the stack. 256 MiB are "
                "everything else that is global. The server rounds the pool up to a multiple of "
                "chunk size (128 MiB) x instances (8 from 1 GiB on in MySQL), so we round down "
                "before"
            ),
            source="MySQL manual, How MySQL Uses Memory; Configuring InnoDB Buffer Pool Size",
            enforced_by="database server",
        ),
        Rule(
            id="B056",
            title="A host has the memory that is planned with",
            text="MemTotal >= 90 % of memory_mb, and of app_memory_mb on an application host",
            why=(
                "the kernel and the firmware keep some: a machine sold with 2048 MiB reports "
                "between 1900 and 2000. What is missing beyond that would be missing for the "
                "connections"
            ),
            source="proc(5), MemTotal: physical RAM minus reserved bits and the kernel's code",
            enforced_by="deployment",
        ),
    ),
    "The application host": (
        Rule(
            id="B060",
            title="Gunicorn's backlog",
            text="W x C, from 64 to 4096",
            why=(
                "one more round of requests may queue behind those that are served; a longer "
                "queue only hides that the host is full"
            ),
            source="Gunicorn settings, backlog; the kernel's default somaxconn is 4096",
            enforced_by="Gunicorn, kernel",
        ),
        Rule(
            id="B061",
            title="LimitNOFILE of Gunicorn's unit",
            text="2 x clients + 2 x P x K + 128, at least 1024",
            why=(
                "a client's socket, and one more that its request opens to something else; each "
                "connection to the database, twice (for mysqlclient the pool keeps a duplicate of "
                "the C library's socket); logs, listener, modules"
            ),
            source="getrlimit(2), RLIMIT_NOFILE counts per process",
            enforced_by="systemd",
        ),
        Rule(
            id="B062",
            title="max_conns of one host in nginx's upstream",
            text="W x C + backlog",
            why=(
                "what the host serves and queues; more would only wait in the kernel until the "
                "request is too old"
            ),
            source="nginx manual, upstream server max_conns",
            enforced_by="nginx",
        ),
        Rule(
            id="B063",
            title="keepalive of nginx's upstream",
            text="a quarter of W x C, from 1 to 64; 0 for sync workers, which keep nothing alive",
            why=(
                "idle kept connections occupy a place among worker_connections: most must stay "
                "free for new ones"
            ),
            source="nginx manual, upstream keepalive; Gunicorn settings, keepalive",
            enforced_by="nginx",
        ),
        Rule(
            id="B064",
            title="Batch of a rolling deployment",
            text="S, at least 1",
            why=(
                "only as many hosts may reload at once as the peak was computed for; S = 0 (a "
                "restart behind a systemd socket, where old workers end before new ones start) "
                "still goes host by host"
            ),
            source="this project",
            enforced_by="deployment",
        ),
        Rule(
            id="B065",
            title="TasksMax of Gunicorn's unit",
            text=(
                "2 x W x (threads of a worker + 14) + 32; the threads are 10 for gevent (its hub's "
                "pool), `threads` for gthread, none for sync"
            ),
            why=(
                "twice, because a reload runs old and new workers side by side; 14 for the worker "
                "itself and threads of libraries, 32 for the arbiter and commands beside it. A "
                "leak of threads or a fork bomb ends here, and not when the host has no pid left"
            ),
            source="systemd.resource-control(5), TasksMax; gevent, ThreadPool",
            enforced_by="systemd",
        ),
        Rule(
            id="B066",
            title="MemoryMax of Gunicorn's unit",
            text="75 % of app_memory_mb",
            why=(
                "a leak ends one worker, which the arbiter replaces, and not whatever the kernel "
                "chooses on the whole host; the rest is for the kernel, nginx and shells. A "
                "ceiling, no reservation: on a host that is the database server too, both "
                "ceilings together may pass its memory, so the kernel is told there to end a "
                "worker first (OOMScoreAdjust)"
            ),
            source="systemd.resource-control(5), MemoryMax",
            enforced_by="systemd",
        ),
        Rule(
            id="B067",
            title="worker_connections of nginx",
            text="4 x max_conns x H, at least 2048",
            why=(
                "a client and its upstream take one each, and a reload keeps the old workers until "
                "their requests are done; one of nginx's workers may have them all"
            ),
            source="nginx manual, worker_connections: proxied connections count too",
            enforced_by="nginx",
        ),
        Rule(
            id="B068",
            title="worker_rlimit_nofile of nginx",
            text="2 x worker_connections",
            why=(
                "each connection is a file, and an answer from the cache, or too large for memory, "
                "opens another"
            ),
            source="nginx manual, worker_rlimit_nofile",
            enforced_by="nginx",
        ),
    ),
}

RULES: dict[str, Rule] = {rule.id: rule for group in GROUPS.values() for rule in group}
