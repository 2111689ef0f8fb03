"""Draws architecture.svg: the rooms of this repository and what becomes of them.

python docs/pictures/architecture.py > docs/pictures/architecture.svg
"""

from itertools import pairwise

WIDTH, HEIGHT, LEFT = 760, 612, 20
INK, PALE, LINE = "#1f2933", "#52606d", "#9aa5b1"
EDITED, COPY, RENDERED, RUNNING = "#c6f6d5", "#e4e7eb", "#feebc8", "#bee3f8"
ROW = (WIDTH - 2 * LEFT - 4 * 10) / 5  # width of one of five boxes with gaps of 10


def column(n: int) -> float:
    """The left edge of box ``n`` of five."""
    return LEFT + n * (ROW + 10)


def draw() -> str:
    packages = ("budget", "gunicorn_budget", "localserver", "mysql_pool")
    does = (
        ("every number", "and its rule"),
        ("Gunicorn's hooks,", "the gevent worker"),
        ("a private server", "for run and tests"),
        ("Django's backend,", "the bounded pool"),
        ("the collection:", "roles, verify"),
    )
    body = [
        label(LEFT, 34, "1. What is edited", INK, 16, "start", bold=True),
        label(WIDTH - LEFT, 34, "packages/ and ansible/", PALE, 13, "end"),
    ]
    for n, (name, lines) in enumerate(zip((*packages, "ansible"), does, strict=True)):
        body.append(box(column(n), 48, ROW, 74, name + "/", lines, EDITED))
    # Who imports whom: everything else in that row knows nobody.
    body.append(imports(column(1) + ROW / 2, column(0) + ROW / 2, 122, "imports"))

    body += [
        arrow(column(2) + ROW / 2, 150, 186, "make copies   (make lint compares them)"),
        label(LEFT, 208, "2. The template", INK, 16, "start", bold=True),
        label(WIDTH - LEFT, 208, "{{cookiecutter.project_slug}}/", PALE, 13, "end"),
        frame(218, 142),
    ]
    for n, name in enumerate((*packages, "deploy/collections")):
        body.append(box(column(n) + 6, 228, ROW - 12, 36, name + "/", (), COPY, size=11))
    body.append(label(LEFT + 12, 282, "copies, never edited here", PALE, 12, "start"))
    rendered = (
        ("budget.toml", "the decisions"),
        ("gunicorn.conf.py", "settings only"),
        ("config/ ops/", "settings, checks"),
        ("shop/", "the example"),
        ("deploy/", "inventories"),
    )
    for n, (name, what) in enumerate(rendered):
        body.append(box(column(n) + 6, 292, ROW - 12, 44, name, (what,), RENDERED, size=11.5))
    body.append(
        label(
            LEFT + 12, 353, "rendered with the answers, which hooks/ has checked", PALE, 12, "start"
        )
    )

    body += [
        arrow(column(2) + ROW / 2, 366, 402, "cookiecutter, later cruft update; then make deploy"),
        label(LEFT, 424, "3. What runs", INK, 16, "start", bold=True),
        label(WIDTH - LEFT, 424, "an application host, and the database's", PALE, 13, "end"),
    ]
    places = [
        ("nginx", ("site.conf.j2",)),
        ("Gunicorn", ("a worker takes", "clients in turn")),
        ("Django", ("wrapper,", "session")),
        ("pool", ("slots, waiters;", "driver")),
        ("MariaDB, MySQL", ("max_connections,", "the account's limit")),
    ]
    for n, (name, lines) in enumerate(places):
        body.append(box(column(n), 438, ROW, 78, name, lines, RUNNING))
    for n, _ in enumerate(pairwise(places)):
        x = column(n) + ROW
        body.append(f'<path d="M{x + 1:.1f} 470 h6" {STROKE} marker-end="url(#tip)"/>')
    body.append(
        label(WIDTH / 2, 536, "a request goes from left to right, its answer back", PALE, 12)
    )
    body += [
        f'<path d="M{LEFT} 548 v10 H{WIDTH - LEFT} v-10" fill="none" stroke="{LINE}"/>',
        label(
            WIDTH / 2,
            580,
            "budget.toml, read by budget/: every limit of every box",
            INK,
            13,
            bold=True,
        ),
        label(WIDTH / 2, 598, "the verify role reads each limit back from what runs", PALE, 12),
    ]
    inside = "\n  ".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" role="img" '
        'aria-label="Packages are edited, copied to the template, rendered and deployed">\n'
        '  <defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{PALE}"/></marker>'
        "</defs>\n"
        # On a page of any colour.
        f'  <rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="white"/>\n  {inside}\n</svg>'
    )


STROKE = f'fill="none" stroke="{PALE}" stroke-width="1.5"'


def label(
    x: float,
    y: float,
    text: str,
    ink: str,
    size: float,
    anchor: str = "middle",
    *,
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{ink}" font-size="{size}" '
        f'text-anchor="{anchor}"{weight}>{text}</text>'
    )


def box(
    x: float,
    y: int,
    width: float,
    height: int,
    name: str,
    lines: tuple[str, ...],
    fill: str,
    size: float = 13,
) -> str:
    middle = x + width / 2
    first = y + height / 2 + 5 - 8 * len(lines)
    text = [label(middle, first, name, INK, size, bold=True)]
    text += [label(middle, first + 17 * (n + 1), line, INK, 11) for n, line in enumerate(lines)]
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" rx="5" fill="{fill}"/>'
        + "".join(text)
    )


def frame(y: int, height: int) -> str:
    return (
        f'<rect x="{LEFT}" y="{y}" width="{WIDTH - 2 * LEFT}" height="{height}" rx="5" '
        f'fill="none" stroke="{LINE}"/>'
    )


def arrow(x: float, top: int, bottom: int, text: str) -> str:
    line = f'<path d="M{x:.1f} {top} V{bottom}" {STROKE} marker-end="url(#tip)"/>'
    return line + label(x + 12, (top + bottom) / 2 + 4, text, INK, 12, "start")


def imports(start: float, end: float, y: int, text: str) -> str:
    line = f'<path d="M{start:.1f} {y} v14 H{end:.1f} v-13" {STROKE} marker-end="url(#tip)"/>'
    return line + label((start + end) / 2, y + 28, text, PALE, 12)


if __name__ == "__main__":
    print(draw())
