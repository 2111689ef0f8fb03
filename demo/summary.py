"""What the demo ends with: the numbers beside their bounds, and the verdict."""

from dataclasses import dataclass, field

from budget.plan import Plan
from demo.load import Outcome

#: Seconds beyond the pool timeout that an answer may take: 300 clients share this machine's cores.
SLACK = 3


@dataclass
class Result:
    """Everything that was measured. Times are in seconds."""

    plan: Plan
    server: str = "the database server"
    outcomes: list[Outcome] = field(default_factory=list)
    max_used: int = 0
    most_seen: int = 0
    refused_by_server: int = 0
    statements: dict[str, float] = field(default_factory=dict)
    connects: dict[str, int] = field(default_factory=dict)
    first_checkout: float = 0.0
    later_checkout: float = 0.0
    mean_wait: dict[str, float] = field(default_factory=dict)
    busy_status: int = 0
    busy_after: float = 0.0
    retry_after: str | None = None

    def failures(self) -> list[str]:
        """Each way in which the promise was not kept, as a sentence; empty if it was."""
        bound, found = self.plan.steady_connections, []
        if self.max_used > bound:
            found.append(f"the server had {self.max_used} connections at once, {bound} allowed")
        if self.most_seen > bound:
            found.append(f"{self.most_seen} connections of the application's account were seen")
        if self.refused_by_server:
            found.append(f"the server refused {self.refused_by_server} connections")
        for outcome in self.outcomes:
            if outcome.failed:
                found.append(f"{outcome.name}: {outcome.failed} requests failed: {wrong(outcome)}")
            if not outcome.requests:
                found.append(f"{outcome.name}: no request was sent")
        latest = self.plan.pool_timeout + SLACK
        if self.busy_status != 503 or not self.retry_after or self.busy_after > latest:
            found.append(
                f"a full pool answered {self.busy_status or 'nothing'} after "
                f"{self.busy_after:.1f} s, Retry-After {self.retry_after}; "
                f"503 with Retry-After within {latest} s was promised"
            )
        return found


def wrong(outcome: Outcome) -> str:
    statuses = [f"{n} x {s}" for s, n in outcome.statuses.items() if s >= 400 and s != 503]
    return ", ".join(statuses + [f"{n} x {error}" for error, n in outcome.errors.items()])


def text(result: Result, seconds: float) -> str:
    """The summary, for a terminal of 80 columns."""
    p, b = result.plan, result.plan.budget
    lines = [
        "",
        "The budget (budget.toml; `make budget` in a project prints all of it)",
        f"  {b.max_connections} max_connections - {b.reserved} reserved, for ({b.hosts} + "
        f"{b.reloading_hosts}) hosts x {b.workers} workers: a pool of {p.pool_size} each",
        f"  at most {p.steady_connections} connections, {p.peak_connections} during a reload",
        "",
        "What the clients saw                 requests      /s  median     99 %    503  failed",
    ]
    lines += [
        f"  {o.name:<33} {o.requests:>9} {o.per_second:>7.0f} {o.median * 1000:>5.0f} ms"
        f" {o.p99 * 1000:>5.0f} ms {o.refused:>6} {o.failed:>7}"
        for o in result.outcomes
    ]
    lines += [
        "",
        f"What {result.server} saw",
        f"  most connections at once          {result.max_used:>4}   bound {p.steady_connections}"
        " (Max_used_connections since its start)",
        f"  most of the application's account {result.most_seen:>4}   (looked at every 50 ms)",
        f"  connections it refused            {result.refused_by_server:>4}",
        "",
        "For each load                statements/request  connections opened  mean wait for one",
        *(
            f"  {name:<26} {result.statements[name]:>18.1f} {result.connects[name]:>19}"
            f" {result.mean_wait[name] * 1000:>15.1f} ms"
            for name in result.statements
        ),
        "",
        "Time to get a connection",
        f"  first: one is opened      {result.first_checkout * 1000:>8.2f} ms  with one statement",
        f"  later: from the pool      {result.later_checkout * 1000:>8.2f} ms"
        "  with one statement, median of 1000",
        "",
        f"A full pool answered {result.busy_status} after {result.busy_after:.1f} s "
        f"(POOL_TIMEOUT {p.pool_timeout} s), Retry-After: {result.retry_after} s.",
    ]
    failures = result.failures()
    if failures:
        lines += ["", "FAILED", *(f"  - {one}" for one in failures)]
    else:
        clients = max(o.clients for o in result.outcomes)
        lines += [
            "",
            f"Kept: {clients} clients, never more than {result.max_used} of "
            f"{p.steady_connections} connections, none refused, no error but 503s.",
        ]
    return "\n".join([*lines, f"({seconds:.0f} s)"])
