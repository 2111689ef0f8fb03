"""Gunicorn's settings, all derived from the connection budget (budget.toml).

Checked when Gunicorn starts, before it listens, with what the environment (BUDGET_WORKERS=8,
WEB_CONCURRENCY) and Gunicorn's own command line (--workers 8) have changed. What does not fit ends
Gunicorn with the reason; at a reload (HUP) the old limits stay in force instead.

This file can be copied into any project. With budget/ and budget.toml beside it everything works as
here. Alone it says so, takes the same variables and cannot check them against the database server:

    BUDGET_WORKERS or WEB_CONCURRENCY   2         workers
    BUDGET_WORKER_CLASS                 gthread   gevent, gthread or sync
    BUDGET_WORKER_CONNECTIONS           100       clients of one worker at once (gevent, gthread)
    BUDGET_THREADS                      8         threads of one worker (gthread)
    BUDGET_REQUEST_DEADLINE             30        seconds until a worker that hangs is replaced
    BUDGET_GRACEFUL_TIMEOUT             30        seconds for running requests at a reload or stop

Beside the budget's, for both: GUNICORN_BIND (127.0.0.1:8000; several separated by commas; ignored
where systemd passes sockets) and GUNICORN_MAX_REQUESTS (100000 requests; 0 for never).

Django is never imported here: in this process it would be imported before gevent patches.
"""

import contextlib
import gc
import os
import sys
from dataclasses import fields, replace
from pathlib import Path

HERE = Path(__file__).absolute().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

try:
    from budget.plan import Budget, BudgetError, Plan, plan
    from budget.source import load
except ImportError as error:
    if not (error.name or "").startswith("budget"):
        raise
    load = None


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

# -- what it does decide ----------------------------------------------------------------------

#: Settings of Gunicorn and the fields of the budget they come from (and, overridden, go back to).
FROM_BUDGET = {
    "workers": "workers",
    "worker_class": "worker_class",
    "worker_connections": "worker_connections",
    "threads": "threads",
    "timeout": "request_deadline",
    "graceful_timeout": "graceful_timeout",
}
#: The names of the classes that the budget knows, as the first base that matches counts.
WORKER_CLASSES = {"GeventWorker": "gevent", "ThreadWorker": "gthread", "SyncWorker": "sync"}


def settings_from(accepted: "Plan") -> dict[str, object]:
    """Gunicorn's settings for a plan that was accepted."""
    chosen = {name: getattr(accepted.budget, field) for name, field in FROM_BUDGET.items()}
    if accepted.budget.worker_class != "gthread":
        chosen["threads"] = 1  # Gunicorn turns sync with threads into gthread
    return {**chosen, "backlog": accepted.backlog}


def settings_alone() -> dict[str, object]:
    """Gunicorn's settings where there is no budget; see the table on top."""
    kind = os.environ.get("BUDGET_WORKER_CLASS", "gthread")
    if kind not in WORKER_CLASSES.values():
        known = ", ".join(WORKER_CLASSES.values())
        sys.exit(f"gunicorn.conf.py: BUDGET_WORKER_CLASS is {kind!r}, not one of {known}.")
    return {
        "workers": number("BUDGET_WORKERS", os.environ.get("WEB_CONCURRENCY", "2")),
        "worker_class": kind,
        "worker_connections": number("BUDGET_WORKER_CONNECTIONS", "100"),
        "threads": number("BUDGET_THREADS", "8") if kind == "gthread" else 1,
        "timeout": number("BUDGET_REQUEST_DEADLINE", "30"),
        "graceful_timeout": number("BUDGET_GRACEFUL_TIMEOUT", "30"),
    }


#: Why budget.toml and the environment do not fit; the first hook knows what follows from that.
refused: "BudgetError | None" = None

if load is None:
    globals().update(settings_alone())
else:
    try:
        planned = plan(load(os.environ.get("BUDGET_FILE") or HERE / "budget.toml"))
        globals().update(settings_from(planned))
    except BudgetError as error:
        refused = error

# -- hooks ------------------------------------------------------------------------------------

checked = False


def nworkers_changed(server, new_value, old_value):
    """Gunicorn's first hook: before a socket is opened, before the application is loaded.

    Later calls are someone changing the number of workers by signal (TTIN, TTOU).
    """
    global checked
    if checked:
        keep_number_of_workers(server, new_value)
        return
    checked = True
    refuse_late_patching(server)
    if load is None:
        server.log.warning(
            "gunicorn.conf.py has no budget/ beside it: nothing is checked against the limits of "
            "the database server."
        )
        return
    try:
        if refused:
            raise refused
        server.accepted_plan = plan(in_force(server))
    except BudgetError as error:
        if old_value is None:  # RuntimeError ends Gunicorn with this text and exit code 1
            raise RuntimeError(f"The connection budget cannot be kept.\n{error}") from None
        server.log.error("Reload: the old limits stay in force. %s", error)
        restore(server)
    else:
        server.accepted_settings = {
            name: server.cfg.settings[name].get() for name in (*FROM_BUDGET, "backlog")
        }
    hand_over(server)
    accepted = server.accepted_plan
    server.log.info(
        "Connection budget: %s workers with a pool of %s each; at most %s connections while hosts "
        "reload, %s allowed",
        accepted.budget.workers,
        accepted.pool_size,
        accepted.peak_connections,
        accepted.max_user_connections,
    )


def restore(server):
    """Put back what was in force before a reload."""
    for name, value in server.accepted_settings.items():
        server.cfg.set(name, value)
    server.worker_class = server.cfg.worker_class
    server.num_workers = server.cfg.workers


def hand_over(server):
    """Let the workers plan with what was checked here, through their environment.

    Not with a command line they cannot see, and not with a budget.toml that is edited before one of
    them is replaced: its pool would be of another size than the others'.
    """
    budget = server.accepted_plan.budget
    checked_here = [f"BUDGET_FILE={os.devnull}"] + [
        f"BUDGET_{field.name.upper()}={getattr(budget, field.name)}" for field in fields(budget)
    ]
    # A server that is frozen or cut off would hold a request, and its connection, for ever.
    checked_here.append(
        f"DB_READ_TIMEOUT={os.environ.get('DB_READ_TIMEOUT') or budget.request_deadline}"
    )
    server.cfg.set("raw_env", [*server.cfg.settings["raw_env"].get(), *checked_here])


def in_force(server) -> "Budget":
    """The budget with what Gunicorn will really do: its command line wins over this file."""
    values = {field: getattr(server.cfg, name) for name, field in FROM_BUDGET.items()}
    values["worker_class"] = kind_of(server.worker_class)
    if values["worker_class"] != "gthread":
        del values["threads"]
    return replace(planned.budget, **values)


def kind_of(worker_class) -> str:
    """The worker class in the budget's words; for a class that is unknown there, its own name."""
    names = [base.__name__ for base in worker_class.__mro__]
    return next((WORKER_CLASSES[name] for name in names if name in WORKER_CLASSES), names[0])


def keep_number_of_workers(server, wanted):
    """More workers than planned are refused: each would bring a pool of its own."""
    if load is None or wanted <= server.accepted_plan.budget.workers:
        return
    planned_workers = server.accepted_plan.budget.workers
    server.log.error(
        "%s workers refused: the budget is planned for %s. Change budget.toml and reload.",
        wanted,
        planned_workers,
    )
    server.num_workers = planned_workers


def refuse_late_patching(server):
    """A gevent worker patches after the fork; what the master has imported stays blocking."""
    if kind_of(server.worker_class) != "gevent":
        return
    monkey = sys.modules.get("gevent.monkey")
    if server.cfg.preload_app:
        raise RuntimeError(
            "preload_app does not go with gevent workers: the application would be imported in the "
            "master, before gevent patches. Leave preload_app out."
        )
    if "django" in sys.modules and not (monkey and monkey.is_module_patched("threading")):
        raise RuntimeError(
            "Django is imported in Gunicorn's master, before gevent patches: its connections would "
            "be shared by all requests of a worker. Import nothing of it in gunicorn.conf.py."
        )


def when_ready(server):
    """Give sockets that were open before the backlog in force.

    Gunicorn does that only for those it opens itself. Without it, one that systemd holds, or that
    outlives a reload, would have to be closed for a new length, and refuse clients meanwhile.
    """
    for listener in server.LISTENERS:
        with contextlib.suppress(OSError):  # SELinux may not let a service listen() on its socket
            listener.listen(server.cfg.backlog)


on_reload = when_ready


def post_worker_init(worker):
    """Say when a worker has loaded the application; Gunicorn only says when it begins to."""
    if kind_of(type(worker)) == "gevent":
        take_turns(worker)
    collect_less()
    worker.log.info("Worker ready (pid: %s)", worker.pid)


def take_turns(worker):
    """Let this gevent worker serve its clients in turn, and take a new one after each request.

    A greenlet goes on until it has to wait, and client and database are often quicker than it is:
    it served up to a hundred requests of one client while the worker's others waited, and clients
    that had no worker yet. Of those Gunicorn takes one in a turn of gevent's loop, which with many
    clients is a long one. More in a turn is no cure: an idle worker would take a whole burst, and
    leave the other workers nothing to do.
    """
    from gevent import get_hub, getcurrent, sleep
    from gunicorn.workers import ggevent

    servers = []
    its_own_hook = worker.cfg.post_request

    class Server(ggevent.StreamServer):
        more = True  # the last look found a client; looking when there is none is not cheap

        def start(self):
            servers.append(self)
            super().start()

        def do_read(self):
            client = super().do_read()
            self.more = client is not None
            return client

        def take_one(self):
            if self.more and self.started and not self.full() and (client := self.do_read()):
                self.do_handle(*client)

        def close(self):
            # Whoever was taken and has not begun would ask the closed socket for its name, and be
            # dropped.
            if getcurrent() is not get_hub():
                self.stop_accepting()
                sleep(0)
            super().close()

    def after_request(worker, request, environ, response):
        its_own_hook(worker, request, environ, response)
        if worker.alive:  # else the next worker has more time for it
            for server in servers:
                server.take_one()
        if response is not None and not response.should_close():
            sleep(1e-9)  # 0 only lets those run who are known to be ready, and looks for no others

    ggevent.StreamServer = Server
    worker.cfg.set("post_request", after_request)


def collect_less():
    """Leave what is loaded by now out of garbage collections, and have fewer of them.

    One of everything holds up all clients of a gevent worker: 40 ms with Django alone. With 700
    new objects between two of them the collector takes up to 5 % of a busy worker's time, and
    hardly 1 % with 10,000, which take no megabyte.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def worker_exit(server, worker):
    """Tell the database server that this worker's connections end (COM_QUIT)."""
    pool = sys.modules.get("mysql_pool")
    if pool is not None and worker.pid == os.getpid():
        pool.close_pool()
