"""Bars as SVG, written by hand: no library to install, and diffs that can be read."""

from html import escape
from pathlib import Path

from benchmarks.peers import BY_NAME
from benchmarks.results import Run

WIDTH, ROW, LEFT, RIGHT, TOP = 760, 22, 170, 130, 46
OURS, OTHERS, TEXT = "#2f6f4f", "#9aa5b1", "#57606a"  # readable on light and on dark pages


def draw(run: Run, folder: Path) -> list[Path]:
    """One picture for each cell: requests per second, and p99 and connections in words."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for cell in run.cells():
        path = folder / f"{cell.replace('/', '-')}.svg"
        path.write_text(picture(run, cell))
        written.append(path)
    return written


def picture(run: Run, cell: str) -> str:
    """The bars of one cell, the fastest first."""
    values = {
        name: value
        for name in BY_NAME
        if (value := run.value(name, cell, "per_second")) is not None
    }
    ranked = sorted(values, key=values.__getitem__, reverse=True)
    most = max(values.values()) or 1
    workload, how, clients = cell.split("/")
    title = f"{workload}, {clients} clients, {'keep-alive' if how == 'keep' else 'new connections'}"
    height = TOP + ROW * len(ranked) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="12" fill="{TEXT}">',
        f"<title>{escape(title)}: requests per second</title>",
        f'<text x="8" y="20" font-size="15" font-weight="600">{escape(title)}</text>',
        '<text x="8" y="37">requests per second (p99, most connections, errors)</text>',
    ]
    for number, name in enumerate(ranked):
        lines += _bar(run, cell, name, TOP + ROW * number, values[name] / most)
    return "\n".join([*lines, "</svg>", ""])


def _bar(run: Run, cell: str, name: str, y: int, part: float) -> list[str]:
    width = max(round((WIDTH - LEFT - RIGHT - 60) * part), 1)
    colour = OURS if BY_NAME[name].ours else OTHERS
    seen = {
        what: run.value(name, cell, what) or 0
        for what in ("per_second", "p99", "most_connections", "failed")
    }
    note = f"{seen['per_second']:.0f}  ({seen['p99'] * 1e3:.0f} ms, {seen['most_connections']:.0f}"
    note += f", {seen['failed']:.0f} errors)" if seen["failed"] else ")"
    return [
        f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{LEFT}" y="{y + 3}" width="{width}" height="{ROW - 6}" fill="{colour}"/>',
        f'<text x="{LEFT + width + 6}" y="{y + 15}">{escape(note)}</text>',
    ]
