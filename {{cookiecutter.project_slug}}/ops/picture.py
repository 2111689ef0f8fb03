"""max_connections as a bar: this host's connections, those of others, the reserve, what is free."""

from dataclasses import dataclass

from budget.plan import Plan
from ops.host import Processes
from ops.server import ServerLimits


@dataclass(frozen=True)
class Part:
    """A piece of the bar, in connections from its left end; `kind` is its class in site.css."""

    kind: str
    name: str
    connections: int
    begins: int


def picture(plan: Plan, live: ServerLimits, host: Processes) -> list[Part]:
    """The parts of the server's max_connections, as many connections together as it has.

    The ledger and the server are asked one after the other, so each part takes of what is left.
    An administrator's connection is among the others', and the reserve is shown in full beside it.
    """
    left = live.max_connections
    in_use = sum(one.in_use for one in host.living)
    opened = sum(one.open for one in host.living)
    others = max(0, live.connections - opened)
    parts = []
    for kind, name, wanted in (
        ("in-use", "in use on this host", in_use),
        ("idle", "open on this host, not in use", opened - in_use),
        ("others", "of other hosts and accounts", others),
        ("reserve", "reserved", plan.reserve),
    ):
        connections = max(0, min(wanted, left))
        parts.append(Part(kind, name, connections, live.max_connections - left))
        left -= connections
    return [*parts, Part("free", "free", left, live.max_connections - left)]
