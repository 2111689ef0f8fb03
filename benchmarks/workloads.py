"""What the clients ask for. Standard library only."""

from dataclasses import dataclass

from benchmarks.peers import BOUND


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    path: str


ALL = (
    Workload("row", "one row by its key, as JSON", "/row/"),
    Workload("rows", "200 rows, as JSON", "/rows/"),
    Workload("write", "read and change one row in a transaction", "/write/"),
    Workload("elsewhere", "one row, then 50 ms of waiting for something else", "/elsewhere/"),
    Workload("slow", "a query of 0.1 s", "/slow/"),
)
#: What Django and Gunicorn themselves need when many wait.
ALONE = Workload("alone", "50 ms of waiting for something else, and no database", "/alone/")
#: Few clients, and many: what does a request cost more because others wait?
FEW, MANY = 5 * BOUND, 100 * BOUND
BY_NAME = {workload.name: workload for workload in (*ALL, ALONE)}


@dataclass(frozen=True)
class Cell:
    """One measurement: a workload, how clients connect, and how many they are."""

    workload: Workload
    clients: int
    keep_alive: bool = True

    @property
    def name(self) -> str:
        return f"{self.workload.name}/{'keep' if self.keep_alive else 'new'}/{self.clients}"


def quick() -> list[Cell]:
    """Every workload once, at the load that the goals speak of."""
    row, rows, write, elsewhere, slow = ALL
    return [
        Cell(row, 2 * BOUND),
        Cell(row, 2 * BOUND, keep_alive=False),
        Cell(rows, 2 * BOUND),
        Cell(write, 2 * BOUND),
        Cell(elsewhere, 5 * BOUND),
        Cell(slow, 2 * BOUND),
    ]


def crowd() -> list[Cell]:
    """The same work for few clients and for many, with the database and without."""
    elsewhere = BY_NAME["elsewhere"]
    return [Cell(workload, n) for n in (FEW, MANY) for workload in (ALONE, elsewhere)]


def host() -> list[Cell]:
    """More clients than connections, and each holds one for long."""
    return [Cell(BY_NAME["slow"], 5 * BOUND)]


def full() -> list[Cell]:
    """Every workload, both kinds of clients, at 1, 2 and 10 times the pool (5: see the goals)."""
    return [
        Cell(workload, factor * BOUND, keep_alive)
        for workload in ALL
        for keep_alive in (True, False)
        for factor in ((1, 2, 5, 10) if workload.name == "elsewhere" else (1, 2, 10))
    ]
