"""Gunicorn's settings. Workers, connections and timeouts come from the budget (budget.toml).

They are checked before Gunicorn listens, with what the environment (BUDGET_WORKERS=8,
WEB_CONCURRENCY) and the command line (--workers 8) change. What does not fit ends Gunicorn with the
reason; at a reload (HUP) the old limits stay in force instead.

This file can be copied into any project, with budget.toml and the folders budget/ and
gunicorn_budget/. Alone it says in the log what it lacks, takes these variables, checks nothing:

    BUDGET_WORKERS or WEB_CONCURRENCY   2         workers
    BUDGET_WORKER_CLASS                 gthread   gevent, gthread or sync
    BUDGET_WORKER_CONNECTIONS           100       clients of one worker at once (gevent, gthread)
    BUDGET_THREADS                      8         threads of one worker (gthread)
    BUDGET_REQUEST_DEADLINE             30        seconds until a worker that hangs is replaced
    BUDGET_GRACEFUL_TIMEOUT             30        seconds for running requests at a reload or stop

For both: GUNICORN_BIND (127.0.0.1:8000; several separated by commas; ignored where systemd passes
sockets) and GUNICORN_MAX_REQUESTS (100000 requests; 0 for never). Django is not imported here: in
this process it would be imported before gevent patches.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).absolute().parent
BUDGET_FILE = os.environ.get("BUDGET_FILE")

# Gunicorn finds packages in its working directory, and --chdir is obeyed only after this file.
with_packages = (HERE / "gunicorn_budget").is_dir()
if with_packages and not HERE.samefile("."):
    sys.exit(f"gunicorn.conf.py: start Gunicorn in {HERE} (cd, or systemd's WorkingDirectory).")


def number(name: str, default: str, least: int = 1) -> int:
    """A whole number from the environment; one that is none ends Gunicorn with its name."""
    text = os.environ.get(name, default)
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        sys.exit(f"gunicorn.conf.py: {name} is {text!r}, not a whole number from {least} on.")
    return int(text)


# -- what the budget does not decide ----------------------------------------------------------

if (HERE / "config" / "wsgi.py").exists():
    wsgi_app = "config.wsgi:application"

bind = os.environ.get("GUNICORN_BIND", "127.0.0.1:8000").split(",")

# Against slow leaks. A worker of 1000 requests/s restarts every other minute, so not lower; the
# next one starts after the old one has ended, so this never doubles the connections.
max_requests = number("GUNICORN_MAX_REQUESTS", "100000", least=0)
max_requests_jitter = max_requests // 5  # not all workers at the same time

# nginx has to give up an idle connection before Gunicorn does, or it sends a request into a closing
# one: its upstream keepalive_timeout has to be lower. Longer would hold up each reload.
keepalive = 15

# A worker proves that it lives by touching a file; on a slow disk it would be killed for the disk.
if os.access("/dev/shm", os.W_OK):  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108

# It lies in the home directory, the same for all projects of a user, and changes the number of
# workers at run time.
control_socket_disable = True

# -- what it does decide, and the hooks that hold Gunicorn to it ------------------------------

gevent, lacking = "gevent", ""
try:
    from gunicorn_budget import hooks

    gevent = hooks.FAIR_GEVENT  # Gunicorn's own does not serve its clients in turn
    nworkers_changed = hooks.nworkers_changed
    when_ready = on_reload = hooks.when_ready
    post_worker_init = hooks.post_worker_init
    worker_exit = hooks.worker_exit
    from gunicorn_budget.guard import Guard
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("gunicorn_budget", "budget"):
        raise
    lacking = f"{error.name} cannot be imported"
else:
    if not (with_packages or BUDGET_FILE or (HERE / "budget.toml").exists()):
        lacking = "there is no budget.toml beside it and no BUDGET_FILE"

if not lacking:
    guard = Guard(BUDGET_FILE or HERE / "budget.toml")
    nworkers_changed = guard.nworkers_changed
    globals().update(guard.settings)  # workers, worker_class, timeout, backlog, ...
else:
    kind = os.environ.get("BUDGET_WORKER_CLASS", "gthread")
    if kind not in ("gevent", "gthread", "sync"):
        sys.exit(f"gunicorn.conf.py: BUDGET_WORKER_CLASS is {kind!r}, not gevent, gthread or sync.")
    worker_class = gevent if kind == "gevent" else kind
    workers = number("BUDGET_WORKERS", os.environ.get("WEB_CONCURRENCY", "2"))
    worker_connections = number("BUDGET_WORKER_CONNECTIONS", "100")
    threads = number("BUDGET_THREADS", "8") if kind == "gthread" else 1
    timeout = number("BUDGET_REQUEST_DEADLINE", "30")
    graceful_timeout = number("BUDGET_GRACEFUL_TIMEOUT", "30")

    def on_starting(server):
        server.log.warning("gunicorn.conf.py: %s. No limit of a database is checked.", lacking)
