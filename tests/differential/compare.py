"""What differs between two observations of one program, without what is meant to differ."""

from collections.abc import Iterator
from typing import NamedTuple

from .meant import MEANT, inserts, may_differ_anywhere
from .pair import Pair, Variant
from .programs import render, step_at

MISSING = "(nothing)"


class Difference(NamedTuple):
    """One thing that is not the same: where, and what it was on each side."""

    where: str
    stock: object
    pool: object


class Differs(AssertionError):
    """A program whose observations differ; its text is for people."""

    def __init__(self, program: list, variant: Variant, found: list[Difference]) -> None:
        self.program, self.variant, self.found = program, variant, found
        super().__init__("\n" + report(program, variant, found))


def check(program: list, pair: Pair, only: tuple[str, ...] = ()) -> None:
    """Run a program on both sides. Raises `Differs`.

    What is seen once and not again in two more runs is no difference, but the machine: a lock wait
    that ended a moment sooner. ``only`` names the parts to compare, see `differences`.
    """
    found = differences(program, *pair.run(program), pair.variant, only)
    if not found:
        return
    for _ in range(2):
        again = differences(program, *pair.run(program), pair.variant, only)
        if again:
            raise Differs(program, pair.variant, again)
    print(f"\nSeen once and not again: {report(program, pair.variant, found)}", flush=True)


def differences(
    program: list, stock: dict, pool: dict, variant: Variant, only: tuple[str, ...] = ()
) -> list[Difference]:
    """All that differs. ``only`` ("callbacks", "stored") leaves the rest out."""
    if may_differ_anywhere(program, variant):
        return []
    if "log" not in stock or "log" not in pool:
        return [
            Difference(f"the program {what}", stock.get(what, MISSING), pool.get(what, MISSING))
            for what in ("hung", "died")
            if what in stock or what in pool
        ] + ([Difference("the worker's log", "", pool.get("log_of_worker", MISSING))])
    if only:
        return [
            Difference(part, *sides)
            for part in only
            if (sides := (PARTS[part](stock), PARTS[part](pool)))[0] != sides[1]
        ]
    found = list(_in_logs(program, stock["log"], pool["log"], variant))
    for what in ("connections left", "in use at the end"):
        found += _in_values(what, stock[what], pool[what])
    return found


PARTS = {
    "callbacks": lambda seen: [
        entry["outcome"]["result"]
        for entry in seen["log"]
        if str(entry["outcome"].get("result", "")).startswith("callback ")
    ],
    "stored": lambda seen: [
        entry["outcome"]["result"]["stored"]
        for entry in seen["log"]
        if isinstance(entry["outcome"].get("result"), dict)
        and "stored" in entry["outcome"]["result"]
    ],
}


def _in_logs(program, stock: list, pool: list, variant: Variant) -> Iterator[Difference]:
    inserted = False  # since the session has had its connection, as far as the program tells
    for mine, theirs in zip(stock, pool, strict=False):
        if mine["at"] != theirs["at"]:
            yield Difference("which step was next", mine["at"], theirs["at"])
            return
        at = mine["at"]
        step = step_at(program, at)
        outcomes = mine["outcome"], theirs["outcome"]
        first = mine.get("first", False)
        if first and variant.release == "transaction":
            inserted = False
        if not is_meant(step, first or not inserted, *outcomes, variant):
            yield from _in_outcomes(at, *outcomes)
        inserted = step is not None and step[0] != "end" and (inserted or inserts(step))
        yield from _in_values(f"{at}: connection", mine.get("state"), theirs.get("state"))
    if len(stock) != len(pool):
        yield Difference("how many steps were run", len(stock), len(pool))


def is_meant(step, first: bool, stock: dict, pool: dict, variant: Variant) -> bool:
    """Whether what came of this step may differ."""
    return step is not None and any(
        rule.applies(step, first, stock, pool, variant) for rule in MEANT
    )


def _in_outcomes(at: str, stock: dict, pool: dict) -> Iterator[Difference]:
    # An error's text is for people: it may well name other tables of the same rule.
    what = ("error", "number")
    if any(stock.get(key) != pool.get(key) for key in what):
        yield Difference(at, _told(stock), _told(pool))
    elif "result" in stock:
        yield from _in_values(at, stock["result"], pool["result"])


def _told(outcome: dict) -> object:
    if "error" not in outcome:
        return outcome["result"]
    number = "" if outcome["number"] is None else f" {outcome['number']}"
    return f"{outcome['error']}{number}: {outcome['text']}"


def _in_values(where: str, stock: object, pool: object) -> Iterator[Difference]:
    if isinstance(stock, dict) and isinstance(pool, dict):
        if "error" in stock or "error" in pool or "result" in stock or "result" in pool:
            yield from _in_outcomes(where, stock, pool)
            return
        for key in dict.fromkeys([*stock, *pool]):
            yield from _in_values(
                f"{where}: {key}", stock.get(key, MISSING), pool.get(key, MISSING)
            )
    elif stock != pool:
        yield Difference(where, stock, pool)


def report(program: list, variant: Variant, found: list[Difference], most: int = 12) -> str:
    """The program and what differs, as text."""
    lines = [f"mysql_pool ({variant}) differs from Django's own backend:", "", *render(program), ""]
    for one in found[:most]:
        lines += [one.where, f"    stock  {_short(one.stock)}", f"    pool   {_short(one.pool)}"]
    if len(found) > most:
        lines.append(f"… and {len(found) - most} more.")
    return "\n".join(lines)


def _short(value: object) -> str:
    text = str(value)
    # The end too: of a worker's log it is what counts.
    return text if len(text) < 1200 else f"{text[:300]} … {text[-800:]}"
