"""All pools of this host, as its ledger has them: for /metrics, the budget page, `manage.py pool`.

Only where `OPTIONS["LEDGER"]` names one. Elsewhere a process knows of no other.
"""

from dataclasses import dataclass

from django.db import connections

import mysql_pool
from mysql_pool import Record
from mysql_pool.ledger.file import Unusable


@dataclass(frozen=True)
class Processes:
    """The pools that run, and the sums of those that have ended (counters only)."""

    living: list[Record]
    ended: list[Record]
    most: dict[str, int]
    """By alias, connections that the whole host may have (HOST_CONNS)."""

    @property
    def total(self) -> Record:
        """Sums of everything; `guaranteed` and what is open are the living ones'."""
        everybody = self.living + self.ended
        return Record(
            **{name: sum(getattr(one, name) for one in everybody) for name in SUMMED},
        )


#: What a sum over processes says something of: they do not have their `most` at the same time.
SUMMED = ("guaranteed", "open", "in_use", "idle", "waiting", "waits", "timeouts")


def ledgers() -> dict[str, str]:
    """The path of the ledger of each alias that has one."""
    found = {}
    for alias in connections:
        if path := connections[alias].settings_dict["OPTIONS"].get("LEDGER"):
            found[alias] = path
    return found


def processes() -> Processes | None:
    """Everybody on this host; None without a ledger. Raises Unusable if it cannot be read.

    Each record is one that its process wrote at most a quarter of a second ago, or when it last
    used its pool.
    """
    paths = ledgers()
    if not paths:
        return None
    hosts = [mysql_pool.read_host(path) for path in sorted(set(paths.values()))]
    return Processes(
        living=sorted(
            (record for host in hosts for record in host.living),
            key=lambda record: (record.role, record.pid, record.alias),
        ),
        ended=[record for host in hosts for record in host.ended],
        most={alias: connections[alias].settings_dict["OPTIONS"]["HOST_CONNS"] for alias in paths},
    )


def processes_or_reason() -> tuple[Processes | None, str]:
    """Everybody on this host, or why nobody can be seen; without a ledger neither."""
    try:
        return processes(), ""
    except Unusable as error:
        return None, f"The ledger of this host cannot be read: {error}."
