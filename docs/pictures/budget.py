"""Draws budget.svg: where the server's connections go. Its numbers come from the budget itself.

python -P docs/pictures/budget.py > docs/pictures/budget.svg
"""

from budget.plan import Budget, plan

WIDTH, LEFT, TOP, HEIGHT = 760, 20, 96, 64
INK, PALE = "#1f2933", "#52606d"


def draw() -> str:
    p = plan(Budget())
    b = p.budget
    scale = (WIDTH - 2 * LEFT) / b.max_connections
    parts = [
        *[
            (p.pool_size, "#2f855a", "white", f"worker {n + 1}", "its pool")
            for n in range(b.workers)
        ],
        *[
            (p.pool_size, "#9ae6b4", INK, f"new worker {n + 1}", "during a reload")
            for n in range(b.workers * b.reloading_hosts)
        ],
        (p.headroom, "#e4e7eb", INK, "", ""),
        (p.reserve, "#ed8936", INK, "", ""),
    ]
    text, x = [], float(LEFT)
    for number, fill, ink, first, second in parts:
        width = number * scale
        middle = x + width / 2
        text.append(
            f'<rect x="{x:.1f}" y="{TOP}" width="{width:.1f}" height="{HEIGHT}" fill="{fill}"'
            ' stroke="white"/>'
        )
        if number:
            text.append(label(middle, TOP + (28 if first else 38), number, ink, 18, bold=True))
        if first:
            text.append(label(middle, TOP + 44, first, ink, 12))
            text.append(label(middle, TOP + 57, second, ink, 11))
        x += width
    steady, peak = (LEFT + n * scale for n in (p.steady_connections, p.peak_connections))
    end = WIDTH - LEFT
    below = TOP + HEIGHT + 12
    text += [
        brace(LEFT, steady, below, f"{p.steady_connections} connections at most"),
        brace(steady, peak, below, f"{p.peak_connections} during a reload"),
        label(end, TOP + HEIGHT + 38, f"{p.reserve} for all others", INK, 12, "end"),
        label(LEFT, 32, f"max_connections = {b.max_connections}", INK, 20, "start", bold=True),
        label(
            LEFT, 56,
            f"({b.hosts} host + {b.reloading_hosts} that reloads) x {b.workers} workers share "
            f"{b.max_connections} - {p.reserve}: each worker's pool has {p.pool_size}",
            PALE, 14, "start",
        ),
        label(
            LEFT, 80,
            f"The account's MAX_USER_CONNECTIONS = {p.max_user_connections}: "
            "the server holds the bound too",
            PALE, 14, "start",
        ),
    ]  # fmt: skip
    body = "\n  ".join(text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 216" '
        'font-family="system-ui, sans-serif" role="img" '
        f'aria-label="How {b.max_connections} connections are shared">\n'
        f'  <rect width="{WIDTH}" height="216" rx="8" fill="white"/>\n  {body}\n</svg>'
    )


def label(
    x: float,
    y: float,
    text: object,
    ink: str,
    size: int,
    anchor: str = "middle",
    *,
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{ink}" font-size="{size}" '
        f'text-anchor="{anchor}"{weight}>{text}</text>'
    )


def brace(left: float, right: float, y: float, text: str) -> str:
    line = f"M{left + 2:.1f} {y} v6 H{right - 2:.1f} v-6"
    return f'<path d="{line}" fill="none" stroke="{PALE}"/>' + label(
        (left + right) / 2, y + 26, text, INK, 12
    )


if __name__ == "__main__":
    print(draw())
