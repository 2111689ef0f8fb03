"""Whether a `Budget` fits: every rule it breaks, each with ways out that are known to work.

Not for the limits that follow from a budget that fits (plan.py). The rules' texts are in rules.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from budget.fields import FIELDS, WORKER_CLASSES, Budget, high, low

# Memory of the database server, in MiB (B055).
MEMORY_SHARE_PERCENT = 80
MEMORY_GLOBAL = 256
MEMORY_PER_CONNECTION = 3
BUFFER_POOL_MIN = 128
# The kernel and the firmware keep some of it for themselves (B056).
MEMTOTAL_PERCENT = 90
# The pool of gevent's hub, for what would block it: names, files, mysqlclient's connect (B065).
HUB_THREADS = 10

Change = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """One broken rule: its id, the field and its value, the rule with the actual numbers, the fix.

    `change` is a way out as values for fields of `Budget`: the changes of all problems of one
    error, applied together, make a budget that fits; each of `alternatives` can take the place of
    its problem's change. Both are empty where no field is at fault, as with a file that cannot be
    read. `where` says where the value came from, if that is known.
    """

    id: str
    field: str
    value: Any
    rule: str
    fix: str
    change: Change = field(default_factory=dict)
    alternatives: tuple[Change, ...] = ()
    where: str = ""

    @property
    def subject(self) -> str:
        """The rule's id, the value, and where it came from."""
        value = f"{self.field} = {shorten(self.value)}" if self.field else ""
        where = f"({self.where})" if self.where else ""
        return " ".join(filter(None, (self.id, value, where)))

    def __str__(self) -> str:
        return f"{self.subject}: {self.rule}. {self.fix}."


class BudgetError(ValueError):
    """The budget cannot be kept. `problems` has every broken rule, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def shorten(value: Any) -> str:
    """`value` as Python writes it: control characters escaped, cut to what fits a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check(budget: Budget) -> tuple[Problem, ...]:
    """Every rule that `budget` breaks; empty if it fits."""
    repair = _repair(budget)
    problems = list(repair.problems.values())
    # A later rule may have moved a value that an earlier one proposed: both name the last one.
    changes = [{name: getattr(repair.mended, name) for name in p.change} for p in problems]
    checked = []
    for index, (problem, change) in enumerate(zip(problems, changes, strict=True)):
        others = [each for place, each in enumerate(changes) if place != index]
        alternatives = tuple(way for way in problem.alternatives if _fits(budget, *others, way))
        fix = "Set " + ", or ".join(map(_assignments, (change, *alternatives)))
        checked.append(replace(problem, fix=fix, change=change, alternatives=alternatives))
    return tuple(checked)


def check_value(name: str, value: Any) -> Problem | None:
    """What is wrong with one value taken alone, its type (B003, B005) or range (B003); or None."""
    if name == "worker_class":
        if value in WORKER_CLASSES:
            return None
        rule_id, rule = "B005", f"must be one of {', '.join(WORKER_CLASSES)}"
        nearest = FIELDS[name].default
    else:
        # bool is a subclass of int: `workers = true` is a mistake, not one worker.
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and low(name) <= value <= high(name):
            return None
        rule_id, rule = "B003", f"must be a whole number from {low(name)} to {high(name)}"
        nearest = min(max(value, low(name)), high(name)) if whole else FIELDS[name].default
    return Problem(rule_id, name, value, rule, f"Set {name} = {nearest}", {name: nearest})


def longest_age(wait_timeout: int) -> int:
    """The longest that a connection may live or idle: a tenth, at least 1 s, below it (B030)."""
    return wait_timeout - max(1, -(-wait_timeout // 10))


def smallest_wait_timeout(age: int) -> int:
    """The smallest `wait_timeout` whose `longest_age` is not below `age`."""
    guess = age + 1
    while longest_age(guess) < age:
        guess += age - longest_age(guess)
    return guess


def buffer_pool_room(budget: Budget) -> int:
    """MiB that the server's other memory leaves for the buffer pool; may be negative (B055)."""
    usable = budget.memory_mb * MEMORY_SHARE_PERCENT // 100
    return usable - MEMORY_GLOBAL - budget.max_connections * MEMORY_PER_CONNECTION


def smallest_memtotal(memory_mb: int) -> int:
    """MiB that a host of `memory_mb` has at least by its own account (B056)."""
    return memory_mb * MEMTOTAL_PERCENT // 100


def pools_at_peak(budget: Budget) -> int:
    """Pools that exist while `reloading_hosts` run old and new workers: (H + S) x W x K."""
    return (budget.hosts + budget.reloading_hosts) * budget.workers * budget.database_aliases


def threads_of_worker(budget: Budget) -> int:
    """Threads that one worker starts beside its main one (B065)."""
    return {"gevent": HUB_THREADS, "gthread": budget.threads, "sync": 0}[budget.worker_class]


class _Repair:
    """Finds problems and mends them on the way: each rule sees values that the earlier ones accept.

    That is why all changes together are accepted: no rule changes a field in a direction that an
    earlier rule forbids. It also keeps one mistake from being reported as ten.
    """

    def __init__(self, budget: Budget) -> None:
        self.asked = budget
        self.mended = budget
        self.problems: dict[str, Problem] = {}

    def refuse(self, rule_id: str, name: str, rule: str, *ways_out: Change) -> None:
        """Add a problem with field `name`. The first of `ways_out` is what later rules see."""
        self.mended = replace(self.mended, **ways_out[0])
        earlier = self.problems.get(name)
        if earlier is None:
            value = getattr(self.asked, name)
            self.problems[name] = Problem(rule_id, name, value, rule, "", ways_out[0], ways_out[1:])
        else:
            # Out of range as well: one problem for one value, whose fix satisfies both rules.
            change = earlier.change | ways_out[0]
            self.problems[name] = replace(earlier, change=change, alternatives=())


def _repair(budget: Budget) -> _Repair:
    repair = _Repair(budget)
    for name in FIELDS:
        problem = check_value(name, getattr(budget, name))
        if problem:
            repair.refuse(problem.id, name, problem.rule, problem.change)
    for rule in (_combinations, _deadlines, _ages, _connections, _memory):
        rule(repair)
    return repair


def _fits(budget: Budget, *changes: Change) -> bool:
    for change in changes:
        budget = replace(budget, **change)
    return not _repair(budget).problems


def _assignments(change: Change) -> str:
    return " and ".join(f"{name} = {value}" for name, value in change.items())


def _combinations(repair: _Repair) -> None:
    b = repair.mended
    if b.reloading_hosts > b.hosts:
        repair.refuse(
            "B010",
            "reloading_hosts",
            f"{b.reloading_hosts} hosts cannot reload at once when hosts = {b.hosts}",
            {"reloading_hosts": b.hosts},
            {"hosts": b.reloading_hosts},
        )
    if b.worker_class == "gthread" and b.threads > b.worker_connections:
        repair.refuse(
            "B011",
            "worker_connections",
            "a gthread worker accepts no more clients than this, so some of its "
            f"threads = {b.threads} could never work",
            {"worker_connections": b.threads},
            {"threads": b.worker_connections},
        )


def _deadlines(repair: _Repair) -> None:
    b = repair.mended
    deadline = b.request_deadline
    if b.pool_timeout >= deadline:
        repair.refuse(
            "B040",
            "pool_timeout",
            f"must be below request_deadline = {deadline}, so that a request which gets no "
            "connection can still be told so",
            {"pool_timeout": deadline // 2},
            {"request_deadline": b.pool_timeout + 1},
        )
    if b.proxy_read_timeout <= deadline:
        repair.refuse(
            "B041",
            "proxy_read_timeout",
            f"must be above request_deadline = {deadline}, or nginx gives up on answers that "
            "come in time",
            {"proxy_read_timeout": deadline + 5},
        )
    if b.graceful_timeout < deadline:
        repair.refuse(
            "B042",
            "graceful_timeout",
            f"must not be below request_deadline = {deadline}, or a reload cuts running requests",
            {"graceful_timeout": deadline},
        )
    b = repair.mended
    if b.stop_timeout <= b.graceful_timeout:
        repair.refuse(
            "B043",
            "stop_timeout",
            f"must be above graceful_timeout = {b.graceful_timeout}, or systemd kills workers "
            "that are ending in good order",
            {"stop_timeout": b.graceful_timeout + 10},
        )


def _ages(repair: _Repair) -> None:
    b = repair.mended
    if longest_age(b.wait_timeout) < b.request_deadline:
        enough = smallest_wait_timeout(b.request_deadline)
        repair.refuse(
            "B032",
            "wait_timeout",
            f"must be at least {enough} for request_deadline = {b.request_deadline}, or the server "
            "hangs up on a request in the middle of its transaction",
            {"wait_timeout": enough},
        )
    b = repair.mended
    longest = longest_age(b.wait_timeout)
    if b.conn_max_age > longest:
        repair.refuse(
            "B030",
            "conn_max_age",
            f"must be below wait_timeout = {b.wait_timeout} by {b.wait_timeout - longest} s, or "
            "the server closes connections that are about to be used",
            {"conn_max_age": longest},
            {"wait_timeout": smallest_wait_timeout(b.conn_max_age)},
        )


def _connections(repair: _Repair) -> None:
    b = repair.mended
    needed = pools_at_peak(b) + b.reserved
    if needed <= b.max_connections:
        return
    pools_of_each_worker = pools_at_peak(replace(b, workers=1))
    ways_out: list[Change] = []
    if needed <= high("max_connections"):
        ways_out.append({"max_connections": needed})
    most_workers = (b.max_connections - b.reserved) // pools_of_each_worker
    if most_workers >= 1:
        ways_out.append({"workers": most_workers})
    if not ways_out:
        ways_out.append({"max_connections": pools_of_each_worker + b.reserved, "workers": 1})
    repair.refuse(
        "B020",
        "max_connections",
        f"one connection for each pool needs (hosts {b.hosts} + reloading_hosts "
        f"{b.reloading_hosts}) x workers {b.workers} x database_aliases {b.database_aliases} "
        f"+ reserved {b.reserved} = {needed}",
        *ways_out,
    )


def _memory(repair: _Repair) -> None:
    b = repair.mended
    if buffer_pool_room(b) >= BUFFER_POOL_MIN:
        return
    fixed = MEMORY_GLOBAL + BUFFER_POOL_MIN
    needed = fixed + b.max_connections * MEMORY_PER_CONNECTION
    usable = b.memory_mb * MEMORY_SHARE_PERCENT // 100
    repair.refuse(
        "B055",
        "memory_mb",
        f"{MEMORY_SHARE_PERCENT} % of it cannot hold {MEMORY_GLOBAL} MiB + {MEMORY_PER_CONNECTION} "
        f"MiB x max_connections {b.max_connections} + a buffer pool of {BUFFER_POOL_MIN} MiB",
        {"memory_mb": -(-needed * 100 // MEMORY_SHARE_PERCENT)},
        {"max_connections": (usable - fixed) // MEMORY_PER_CONNECTION},
    )
