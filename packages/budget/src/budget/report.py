"""The budget for a person (a table) and for a program (JSON), and the rules as a page of reference.

Not for computing anything (plan.py, rules/). Every function returns text; __main__.py prints it.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field
from typing import Any, TextIO

from budget.check import Problem
from budget.counting import count
from budget.fields import CONSUMER_FIELDS, FIELDS, TABLES
from budget.plan import Plan
from budget.rules import RULES, SECTIONS
from budget.rules.connections import for_guaranteed_mode

BAR_WIDTH = 60
WIDE = 10_000  # columns: never folded

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


class Paint:
    """Wraps text in terminal colours; without colours it returns the text as it is."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, style: str, text: str) -> str:
        return f"\033[{_STYLES[style]}m{text}\033[0m" if self.on else text


def wants_colour(stream: TextIO) -> bool:
    """Whether `stream` is a terminal on which nobody switched colours off."""
    # https://no-color.org: any value but the empty one.
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def summary_text(plan: Plan, paint: Paint) -> str:
    """What the connections are for, what binds, how many hosts can be added."""
    return f"{_bar(plan, paint)}\n\n{_summary(plan, paint)}"


def plan_text(
    plan: Plan,
    title: str,
    origins: Mapping[str, str],
    paint: Paint,
    *,
    before: Plan | None = None,
    width: int = WIDE,
) -> str:
    """The whole budget as text, folded to `width` columns if it is wider.

    `origins` are the fields that were not taken from the file, and where they came from. `before`
    adds a column with the limits as they are now.
    """
    blocks = [
        f"{paint('bold', title)}: {paint('green', 'fits')}",
        *([_overrides(plan, origins, before)] if origins else []),
        summary_text(plan, paint),
        _limits(plan, paint, before, width),
    ]
    return "\n\n".join(blocks) + "\n"


def problems_text(problems: Sequence[Problem], title: str, paint: Paint) -> str:
    """Every broken rule: the value, the rule, the fix."""
    verdict = f"does not fit, {count(len(problems), 'problems')}"
    lines = [f"{paint('bold', title)}: {paint('red', verdict)}"]
    for problem in problems:
        lines += ["", *_problem_lines(problem, paint)]
    lines += ["", "What each rule is for: python -m budget --rules"]
    return "\n".join(lines) + "\n"


def plan_json(plan: Plan) -> str:
    """`Plan.as_dict` with `fits` true."""
    return json.dumps({"fits": True, **plan.as_dict()}, indent=2) + "\n"


def problems_json(problems: Iterable[Problem]) -> str:
    """`fits` false and every problem, with its ways out as values of fields."""
    rows = [
        {
            "id": problem.id,
            "field": problem.field,
            "value": problem.value,
            "where": problem.where,
            "rule": problem.rule,
            "fix": problem.fix,
            "change": problem.change,
            "alternatives": list(problem.alternatives),
        }
        for problem in problems
    ]
    # A TOML file may hold dates and the like where a number belongs: show them as text.
    return json.dumps({"fits": False, "problems": rows}, indent=2, default=str) + "\n"


def _problem_lines(problem: Problem, paint: Paint) -> list[str]:
    return [
        paint("yellow", problem.subject),
        f"     {problem.rule}.",
        f"     {paint('bold', problem.fix)}.",
    ]


def _overrides(plan: Plan, origins: Mapping[str, str], before: Plan | None) -> str:
    lines = []
    for name, origin in origins.items():
        line = f"  with {name} = {getattr(plan.budget, name)}  ({origin})"
        now = getattr(before.budget, name) if before else None
        if now not in (None, getattr(plan.budget, name)):
            line += f", now {now}"
        lines.append(line)
    return "\n".join(lines)


def _bar(plan: Plan, paint: Paint) -> str:
    """max_connections as a bar: the pools, what a reload adds, what is left, the reserve."""
    total = plan.budget.max_connections
    more = "more at a deployment" if plan.budget.sharing == "host" else "more at a reload"
    parts = (
        ("#", "green", "in the pools", plan.steady_connections),
        ("+", "yellow", more, plan.peak_connections - plan.steady_connections),
        (".", "dim", "left", plan.headroom),
        ("R", "bold", "reserved", plan.reserve),
    )
    bar, end, drawn = "", 0, 0
    for sign, style, _, size in parts:
        end += size
        until = round(end * BAR_WIDTH / total)
        bar += paint(style, sign * (until - drawn))
        drawn = until
    legend = "   ".join(f"{sign} {size} {name}" for sign, _, name, size in parts)
    return f"  max_connections {total}\n  [{bar}]\n  {legend}"


def _summary(plan: Plan, paint: Paint) -> str:
    b = plan.budget
    workers = f"{count(b.hosts, 'hosts')} x {count(b.workers, f'{b.worker_class} workers')}"
    rows = [
        ("serves", f"{workers} x {count(plan.concurrency, 'requests')} at once"),
        ("pool", f"{_pool(plan)}; {_mode(plan)}"),
        ("binds", paint("bold", plan.binds) + f": {_binds(plan)}"),
        ("hosts", _hosts_left(plan)),
    ]
    return "\n".join(f"  {name:<8}{text}" for name, text in rows)


def _pool(plan: Plan) -> str:
    if plan.budget.sharing == "host":
        return (
            f"{count(plan.host_connections, 'connections')} for each host, shared by its "
            f"processes; at least {plan.guaranteed} and at most {plan.pool_most} for each worker"
        )
    return f"{count(plan.pool_size, 'connections')} for each worker"


def _mode(plan: Plan) -> str:
    if plan.mode == "guaranteed":
        return "guaranteed: one for each request"
    return f"shared: a request waits for one at most {plan.pool_timeout} s, then it gets a 503"


def _binds(plan: Plan) -> str:
    if plan.binds == "max_connections":
        return f"the guaranteed mode would take {for_guaranteed_mode(plan.budget)}"
    if plan.binds == "worker_class":
        return "a sync worker serves one request and needs one connection"
    return "a larger pool would have no request to serve"


def _hosts_left(plan: Plan) -> str:
    if plan.hosts_left_smallest_pool == 0:
        return "no more can be added"
    if plan.budget.sharing == "host":
        return f"{plan.hosts_left_smallest_pool} more with 1 connection for each worker"
    text = f"{plan.hosts_left} more with pools of {plan.pool_size}"
    if plan.pool_size > 1:
        text += f"; {plan.hosts_left_smallest_pool} more with pools of 1"
    return text


def _limits(plan: Plan, paint: Paint, before: Plan | None, width: int) -> str:
    old = {limit.name: limit.value for limit in before.limits} if before else {}
    header = ["limit", "value", "rule", "enforced by", "left"]
    rows = []
    for limit in plan.limits:
        value = count(limit.value, limit.unit)
        row = [limit.name, value, f"{limit.rule_id} {limit.rule}", limit.enforced_by, limit.left]
        if before:
            same = old.get(limit.name) == limit.value
            row.insert(2, "=" if same else str(old.get(limit.name, "-")))
        rows.append(row)
    if before:
        header.insert(2, "now")
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    # In a narrow terminal the rule and its enforcer go to a line of their own.
    rule = header.index("rule")
    folded = sum(widths) + 2 * len(widths) > width

    def line(cells: Sequence[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        if not folded:
            return ("  " + "  ".join(padded)).rstrip()
        first = "  ".join([*padded[:rule], padded[-1]]).rstrip()
        return f"  {first}\n      {paint('dim', f'{cells[rule]}; {cells[rule + 1]}')}"

    return "\n".join([paint("bold", line(header)), *map(line, rows)])


def rules_text() -> str:
    """The reference page (Markdown): every field and every rule."""
    lines = [_RULES_HEAD]
    for table in TABLES:
        lines += [
            f"### [{table}]",
            "",
            "| key | default | range | what |",
            "| --- | --- | --- | --- |",
        ]
        lines += [_row(name, f) for name, f in FIELDS.items() if f.metadata["table"] == table]
        lines.append("")
    lines += [
        "### [consumers.NAME]",
        "",
        "Processes beside the web workers that use the pool (B026); as many tables as there are "
        "kinds. A process says by the variable `POOL_ROLE` which one it is.",
        "",
        "| key | default | range | what |",
        "| --- | --- | --- | --- |",
        *(_row(name, each) for name, each in CONSUMER_FIELDS.items()),
        "",
        "## Rules\n",
    ]
    for tens, section in SECTIONS.items():
        lines += [f"### {section}", ""]
        for rule in RULES.values():
            if not rule.id.startswith(tens):
                continue
            lines += [
                f"#### {rule.id} {rule.title}",
                "",
                rule.text,
                "",
                f"Why: {rule.why}",
                "",
                f"Enforced by: {rule.enforced_by}. Source: {rule.source}.",
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


def _row(name: str, field: Field[Any]) -> str:
    metadata = field.metadata
    if "choices" in metadata:
        span = ", ".join(metadata["choices"])
    else:
        span = f"{metadata['low']} to {metadata['high']} {metadata['unit']}"
    return f"| `{name}` | {field.default} | {span} | {metadata['help']} |"


_RULES_HEAD = """\
# The connection budget: fields and rules

<!-- Printed by `python -m budget --rules`: edit budget/fields.py, or the rule in budget/rules/. -->

`budget.toml` holds the few numbers that are chosen; everything else follows by the rules below.
`python -m budget` prints the result, `python -m budget --hosts 6` answers "what if", `--json` is
for programs. It exits with 0 if the budget fits, 1 if it does not, 2 if it was called wrongly.

Letters in the formulas:

| letter | is |
| --- | --- |
| M, R, T | `max_connections`, `reserved`, `wait_timeout` of the server |
| H, S, E | `hosts`, `reloading_hosts`, `extra_hosts` |
| W, K | `workers` of one host, `database_aliases` |
| C | requests that one worker serves at once: `worker_connections`, `threads` or 1 |
| P | connections of one worker and alias: the size of its pool |
| N | connections of one host, of all its processes together |
| A | `conn_max_age` |

## Fields

A key that is left out has its default. The environment overrides the file: `BUDGET_WORKERS=8` is
`workers`, and so for every field. `WEB_CONCURRENCY` means `workers` too, unless `BUDGET_WORKERS` is
set. `BUDGET_FILE` names another file.
"""
