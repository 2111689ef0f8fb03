"""The figures that mysql_pool was built to reach, and what this run says of each."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.peers import BOUND, BY_NAME, HOST
from benchmarks.report import table
from benchmarks.results import Run, middle
from benchmarks.workloads import FEW, MANY

OURS = ("ours-pymysql", "ours-mysqlclient")
#: The same pool behind the workers of a generated project.
AS_GENERATED = ("project-pymysql", "project-mysqlclient")
#: Peers that keep the bound with as many connections as we have.
BOUNDED = ("sqlalchemy", "gthread", "sync-40")

#: So much of the rounds has to say the same: all of two or three, six of eight.
AGREE = 0.75


@dataclass(frozen=True)
class Verdict:
    goal: str
    measured: str
    reached: bool | None
    """None: this run does not tell."""


def verdicts(run: Run) -> list[Verdict]:
    """Each goal with what was measured."""
    return [
        *_elsewhere(run),
        *_row(run),
        *_against_sync(run),
        *_inside(run),
        _statements(run),
        _bound(run),
        *_fairness(run),
        *_crowd(run),
        *_host(run),
    ]


def text(run: Run) -> str:
    words = {True: "reached", False: "missed", None: "unknown"}
    rows = [[v.goal, v.measured, words[v.reached]] for v in verdicts(run)]
    return "\n".join(["**Goals**", "", *table(["goal", "measured", ""], rows)])


def _as_generated(run: Run) -> list[str]:
    """Those of `AS_GENERATED` that were measured; without them a run tells of the pool alone."""
    return [peer for peer in AS_GENERATED if any(m.peer == peer for m in run.measurements)]


def _value(run: Run, peer: str, cell: str, what: str) -> float:
    return run.value(peer, cell, what) or 0.0


def _ratio(goal: str, values: list[float], least: float) -> Verdict:
    if not values:
        return Verdict(goal, "-", None)
    ratio = middle(values)
    rounds = ", ".join(f"{value:.2f}" for value in values)
    reached = sum(value >= least for value in values) / len(values)
    if 1 - AGREE < reached < AGREE:
        return Verdict(goal, f"{ratio:.2f} ({rounds}): rounds disagree", None)
    return Verdict(goal, f"{ratio:.2f} ({rounds})", reached >= AGREE)


def _elsewhere(run: Run) -> Iterable[Verdict]:
    cell = f"elsewhere/keep/{5 * BOUND}"
    goal = f"elsewhere, {5 * BOUND} clients: req/s against the best bounded peer >= 3.4"
    rivals = [peer for peer in BOUNDED if run.of(peer, cell)]
    measured = [peer for peer in (*OURS, *_as_generated(run)) if run.of(peer, cell)]
    if not rivals or not measured:
        yield Verdict(goal, "-", None)
        return
    best = max(rivals, key=lambda peer: _value(run, peer, cell, "per_second"))
    for peer in measured:
        yield _ratio(f"{peer} {goal} ({best})", run.ratios(peer, best, cell), 3.4)
        p99, p50 = (_value(run, peer, cell, what) for what in ("p99", "p50"))
        tail = p99 / (p50 or 1)
        yield Verdict("the same: p99 under 3 x p50", f"{tail:.2f}", tail < 3)
        failed = _value(run, peer, cell, "failed")
        yield Verdict("the same: errors 0", f"{failed:.0f}", not failed)


def _row(run: Run) -> Iterable[Verdict]:
    same_driver = [p for p in (*OURS, *_as_generated(run)) if BY_NAME[p].driver == "pymysql"]
    for how in ("keep", "new"):
        for peer in same_driver:
            yield _ratio(
                f"{peer} row, {how}: req/s against SQLAlchemy's pool >= 1.5",
                run.ratios(peer, "sqlalchemy", f"row/{how}/{2 * BOUND}"),
                1.5,
            )


def _against_sync(run: Run) -> Iterable[Verdict]:
    # sync workers answer each request on a connection of its own, whatever the client asks for.
    for workload, how in (("row", "keep"), ("row", "new"), ("rows", "keep")):
        cell = f"{workload}/{how}/{2 * BOUND}"
        for peers in filter(None, (OURS, _as_generated(run))):
            best = max(peers, key=lambda peer: _value(run, peer, cell, "per_second"))
            yield _ratio(
                f"{best} {workload}, {how}: req/s against sync + mysqlclient >= 1.05",
                run.ratios(best, "sync", cell),
                1.05,
            )


def _inside(run: Run) -> Iterable[Verdict]:
    for peer in OURS:
        seen = run.micro.get(peer)
        if seen is None:
            continue
        for what in ("cursor", "ORM get"):
            ratio = seen[f"{what}, borrowed"]["ratio"]
            goal = f"CPU of {what}, {peer}: borrowed against kept connection <= 1.05"
            yield Verdict(goal, f"{ratio:.3f}", ratio <= 1.05)
        for how in ("", ", TLS"):
            blocked = seen.get(f"hub blocked while connecting{how}", {}).get("median CPU ms")
            goal = f"hub blocked while connecting{how}, {peer}: < 1.5 ms of CPU"
            if blocked is None:
                yield Verdict(goal, "-", None)
            else:
                yield Verdict(goal, f"{blocked:.2f} ms", blocked < 1.5)


def _statements(run: Run) -> Verdict:
    # The median over the rounds: how many requests wrk left behind is only known to within a few.
    cells = {m.cell for m in run.measurements if m.workload == "row"}
    values = [run.value(peer, cell, "statements") for peer in OURS for cell in cells]
    values = [value for value in values if value is not None]
    return Verdict(
        "statements per one-query request 1.0",
        f"{max(values):.2f}" if values else "-",
        max(values) < 1.03 if values else None,
    )


def _bound(run: Run) -> Verdict:
    values = [m.most_connections for m in run.measurements if m.peer in (*OURS, *AS_GENERATED)]
    return Verdict(
        f"most connections with MAX_CONNS 20 x 2: {BOUND}",
        f"{max(values)}" if values else "-",
        max(values) <= BOUND if values else None,
    )


def _crowd(run: Run) -> Iterable[Verdict]:
    for peer in (*OURS, *AS_GENERATED):
        goal = (
            f"{peer}: a request's CPU grows from {FEW} to {MANY} clients at most 1.03 times as "
            "much as without a database"
        )
        growth = {
            workload: run.growth(peer, f"{workload}/keep/{FEW}", f"{workload}/keep/{MANY}")
            for workload in ("elsewhere", "alone")
        }
        values = [
            mine / without
            for mine, without in zip(growth["elsewhere"], growth["alone"], strict=False)
        ]
        if values:
            told = ", ".join(f"{value:.2f}" for value in values)
            yield Verdict(goal, f"{middle(values):.2f} ({told})", middle(values) <= 1.03)


def _host(run: Run) -> Iterable[Verdict]:
    cell = f"slow/keep/{5 * BOUND}"
    if not run.of("host-ledger", cell):
        return
    ratios = run.ratios("host-ledger", "host-static", cell)
    yield _ratio("one host, slow, 200 clients: req/s against fixed shares >= 1.9", ratios, 1.9)
    most = int(_value(run, "host-ledger", cell, "most_connections"))
    yield Verdict(f"one host: connections in use {HOST}, never more", str(most), most == HOST)
    for seen in run.reloads:
        yield Verdict(
            f"one host, {seen.times} reloads under load: errors 0, never over {HOST}",
            f"{seen.failed} of {seen.requests}, {seen.most_connections} in {seen.looks} looks",
            not seen.failed and seen.most_connections <= HOST,
        )


def _fairness(run: Run) -> Iterable[Verdict]:
    for peer in AS_GENERATED:
        seen = [f for f in run.fairness if f.peer == peer]
        goal = f"{peer} row, 100 clients: unluckiest >= 0.7 of the median, first answer < 0.5 s"
        if not seen:
            yield Verdict(goal, "-", None)
            continue
        unluckiest = middle(f.unluckiest for f in seen)
        slowest = middle(f.slowest_first for f in seen)
        measured = f"{unluckiest:.2f}, {slowest:.2f} s"
        yield Verdict(goal, measured, unluckiest >= 0.7 and slowest < 0.5)
