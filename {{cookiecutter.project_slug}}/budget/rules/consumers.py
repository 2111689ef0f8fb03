"""Rules of what is promised to consumers: processes beside the web workers that use the pool."""

from collections.abc import Iterable

from budget.counting import count
from budget.fields import Budget, Consumer
from budget.rule import Row, Rule


class ConsumerLimits:
    """The part of a `Plan` that these rules give, in connections."""

    promised_on_host: int  # to the consumers that run on an application host, of each host
    promised_elsewhere: int  # to the consumers on machines of their own, of all machines


def promised(b: Budget, consumer: Consumer) -> int:
    """Connections of all processes of `consumer` on one machine."""
    return consumer.processes * consumer.connections * b.database_aliases


def promised_on_host(b: Budget) -> int:
    """Connections that are promised to consumers on each application host (B026)."""
    return sum(promised(b, each) for each in b.consumers if not each.machines)


def promised_elsewhere(b: Budget) -> int:
    """Connections that are promised to consumers on machines of their own (B026)."""
    return sum(each.machines * promised(b, each) for each in b.consumers)


def _consumer_rows(b: Budget) -> Iterable[Row]:
    for each in b.consumers:
        of_all = promised(b, each) * (each.machines or b.hosts + b.extra_hosts)
        where = (
            count(each.machines, "machines")
            if each.machines
            else count(b.hosts + b.extra_hosts, "hosts")
        )
        aliases = f" x {b.database_aliases} of DATABASES" if b.database_aliases > 1 else ""
        yield Row(
            "connections",
            f"promised to {each.name}",
            of_all,
            "connections",
            f"{where} x {count(each.processes, 'processes')} x {each.connections}{aliases}",
        )


B026 = Rule(
    id="B026",
    title="What is promised to consumers",
    text=(
        "A table `[consumers.NAME]` stands for processes beside the web workers: a task queue, "
        "cron, shells. `processes x connections x K` are promised to it on each of its machines. "
        "With `machines = 0` it runs on every application host, also on `extra_hosts`. Elsewhere "
        "its connections are taken off M before the hosts get theirs."
    ),
    why=(
        "Each process has a pool of its own. What nobody counted is missing when the site is busy: "
        "then a task or a shell gets error 1040 or 1226."
    ),
    source="this project",
    enforced_by="mysql_pool",
    gives={"promised_on_host": promised_on_host, "promised_elsewhere": promised_elsewhere},
    rows=_consumer_rows,
)

RULES = (B026,)
