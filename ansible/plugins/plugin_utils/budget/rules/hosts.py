"""Rules that a deployment keeps: the memory of the hosts, and how many are changed at once."""

from collections.abc import Iterable

from budget.fields import Budget
from budget.rule import Row, Rule


class HostLimits:
    """The part of a `Plan` that these rules give; memory in MiB."""

    batch_size: int  # hosts of one step of a rolling deployment
    # What a deployment accepts as a host of the planned size
    server_memtotal_mb: int
    app_memtotal_mb: int


MEMTOTAL_PERCENT = 90


def smallest_memtotal(memory_mb: int) -> int:
    """MiB that a host of `memory_mb` has at least by its own account (B056)."""
    return memory_mb * MEMTOTAL_PERCENT // 100


def _memory_rows(b: Budget) -> Iterable[Row]:
    for part, name, memory_mb in (
        ("database server", "memory of the database host", b.memory_mb),
        ("application host", "memory of an application host", b.app_memory_mb),
    ):
        rule = f"{MEMTOTAL_PERCENT} % of {memory_mb}, by its own account"
        yield Row(part, name, smallest_memtotal(memory_mb), "MiB", rule)


B056 = Rule(
    id="B056",
    title="A host has the memory that is planned with",
    text=(
        f"`MemTotal >= {MEMTOTAL_PERCENT} %` of `memory_mb` on the database server's host, and of "
        "`app_memory_mb` on an application host."
    ),
    why=(
        "The kernel and the firmware keep some: a machine sold with 2048 MiB reports between 1900 "
        "and 2000. What is missing beyond that would be missing for the connections."
    ),
    source="proc(5), MemTotal: physical RAM minus reserved bits and the kernel's code",
    enforced_by="deployment",
    gives={
        "server_memtotal_mb": lambda b: smallest_memtotal(b.memory_mb),
        "app_memtotal_mb": lambda b: smallest_memtotal(b.app_memory_mb),
    },
    rows=_memory_rows,
)


BATCH_MIN = 1


def batch_size(b: Budget) -> int:
    """Hosts that a rolling deployment changes at once (B064)."""
    return max(BATCH_MIN, b.reloading_hosts)


def _batch_row(b: Budget) -> Iterable[Row]:
    yield Row(
        "deployment",
        "batch of a deployment",
        batch_size(b),
        "hosts",
        f"reloading_hosts {b.reloading_hosts}, at least {BATCH_MIN}",
    )


B064 = Rule(
    id="B064",
    title="Batch of a rolling deployment",
    text=f"`S`, at least {BATCH_MIN}.",
    why=(
        "The peak was computed for as many hosts that reload at once. S = 0 is a restart behind a "
        "systemd socket, where old workers end before new ones start; it still goes host by host."
    ),
    source="this project",
    enforced_by="deployment",
    gives={"batch_size": batch_size},
    rows=_batch_row,
)

RULES = (B056, B064)
