"""Rules between the numbers of [application]: hosts, workers, threads."""

from budget.fields import Budget
from budget.rule import Refusal, Rule


def _no_more_reload_than_there_are(b: Budget) -> Refusal | None:
    if b.reloading_hosts <= b.hosts:
        return None
    return Refusal(
        "reloading_hosts",
        f"{b.reloading_hosts} hosts cannot reload at once when hosts = {b.hosts}",
        ({"reloading_hosts": b.hosts}, {"hosts": b.reloading_hosts}),
    )


B010 = Rule(
    id="B010",
    title="No more hosts reload than there are",
    text="`reloading_hosts <= hosts`.",
    why="The budget would keep connections for hosts that do not exist.",
    source="this project",
    enforced_by="budget.plan",
    check=_no_more_reload_than_there_are,
)


def _clients_for_every_thread(b: Budget) -> Refusal | None:
    if b.worker_class != "gthread" or b.threads <= b.worker_connections:
        return None
    return Refusal(
        "worker_connections",
        "a gthread worker accepts no more clients than this, so some of its "
        f"threads = {b.threads} could never work",
        ({"worker_connections": b.threads}, {"threads": b.worker_connections}),
    )


B011 = Rule(
    id="B011",
    title="A gthread worker accepts enough clients",
    text="`threads <= worker_connections`, for gthread.",
    why=(
        "A gthread worker accepts no more than `worker_connections` clients. Further threads would "
        "have nothing to do."
    ),
    source="gunicorn/workers/gthread.py: nr_conns < worker_connections",
    enforced_by="budget.plan",
    check=_clients_for_every_thread,
)

RULES = (B010, B011)
