"""The tables, as text that is Markdown too."""

from benchmarks.peers import BOUND, BY_NAME, HOST
from benchmarks.results import Run, middle

REFERENCE = "sqlalchemy"  # what the ratios of a table are against, if it was measured

COLUMNS = (
    ("req/s", "per_second", lambda v: f"{v:.0f}"),
    ("p50 ms", "p50", lambda v: f"{v * 1e3:.1f}"),
    ("p99 ms", "p99", lambda v: f"{v * 1e3:.1f}"),
    ("CPU us/req", "cpu", lambda v: f"{v * 1e6:.0f}"),
    ("statements", "statements", lambda v: f"{v:.2f}"),
    ("connects", "connects", lambda v: f"{v:.2f}"),
    ("connections", "most_connections", lambda v: f"{v:.0f}"),
    ("errors", "failed", lambda v: f"{v:.0f}"),
)


def text(run: Run) -> str:
    """Everything that was measured, broken peers included."""
    parts = [f"- {key}: {value}" for key, value in run.about.items()]
    parts += [
        "",
        f"Each bounded peer may have {BOUND} connections (host-…: {HOST}); the server has 151.",
    ]
    for cell in run.cells():
        parts += ["", *_cell(run, cell)]
    if run.fairness:
        parts += ["", *_fairness(run)]
    if run.micro:
        parts += ["", *_micro(run)]
    if run.broken:
        parts += ["", "Broken:", ""]
        parts += [f"- {name}: {error}" for name, error in run.broken.items()]
    return "\n".join(parts)


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown whose columns line up."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(header), line(rule), *(line(row) for row in rows)]


def _cell(run: Run, cell: str) -> list[str]:
    workload, how, clients = cell.split("/")
    kind = "keep-alive" if how == "keep" else "a new connection each"
    names = [name for name in BY_NAME if run.of(name, cell)]
    reference = REFERENCE if REFERENCE in names else names[0]
    rows = []
    for name in names:
        ratio = middle(run.ratios(name, reference, cell))
        values = [show(run.value(name, cell, what)) for _, what, show in COLUMNS]
        rows.append([name, "-" if ratio is None else f"{ratio:.2f}", *values])
    errors = [
        f"{name}: {number} x {error}"
        for name in names
        for m in run.of(name, cell)
        for error, number in m.errors.items()
    ]
    header = ["peer", f"x {reference}", *(title for title, _, _ in COLUMNS)]
    title = f"**{workload}, {clients} clients, {kind}**"
    listed = [f"- {error}" for error in dict.fromkeys(errors)]
    return [title, "", *table(header, rows), *([""] if listed else []), *listed]


def _fairness(run: Run) -> list[str]:
    rows = []
    for name in BY_NAME:
        seen = [f for f in run.fairness if f.peer == name]
        if seen:
            low, high = min(f.unluckiest for f in seen), max(f.unluckiest for f in seen)
            slowest = max(f.slowest_first for f in seen)
            rows.append([name, f"{low:.2f}", f"{high:.2f}", f"{slowest:.2f} s"])
    header = ["peer", "unluckiest / median: worst", "best round", "slowest first answer"]
    return ["**Fairness: row, 100 keep-alive clients, 5 s**", "", *table(header, rows)]


def _micro(run: Run) -> list[str]:
    rows = [
        [peer, what, ", ".join(f"{key} {value:.2f}" for key, value in values.items())]
        for peer, measured in run.micro.items()
        for what, values in measured.items()
    ]
    return ["**Inside one process**", "", *table(["peer", "what", "values"], rows)]
