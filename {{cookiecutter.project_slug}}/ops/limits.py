"""The budget's limits beside the values in force: for the page and for `manage.py pool`."""

from dataclasses import dataclass

from django.db import connections

from budget.plan import Limit, Plan
from ops.server import ServerLimits


@dataclass(frozen=True)
class Row:
    """One limit; `in_force` is None where this process cannot see it (nginx, systemd)."""

    limit: Limit
    in_force: int | None
    differs: bool


def rows(plan: Plan, live: ServerLimits | None, alias: str = "default") -> list[Row]:
    """Every limit of `plan` with the value in force; the server's are None without `live`."""
    here = of_this_process(alias)
    there = of_the_server(live) if live else {}
    found = []
    for limit in plan.limits:
        value = here.get(limit.name, there.get(limit.name))
        # More than planned does no harm at the server, except to the account's limit.
        exact = limit.name in here or limit.name == "MAX_USER_CONNECTIONS"
        differs = value is not None and (value != limit.value if exact else value < limit.value)
        found.append(Row(limit, value, differs))
    return found


def of_this_process(alias: str) -> dict[str, int]:
    """What the pool of `alias` works with, by the budget's names."""
    config = connections[alias].settings_dict
    if "LEDGER" in config["OPTIONS"]:
        found = {
            "most of one pool (MAX_CONNS)": config["OPTIONS"]["MAX_CONNS"],
            "one host (HOST_CONNS)": config["OPTIONS"]["HOST_CONNS"],
            "without a ledger (STATIC_CONNS)": config["OPTIONS"]["STATIC_CONNS"],
        }
    else:
        found = {"pool size (MAX_CONNS)": config["OPTIONS"]["MAX_CONNS"]}
    found |= {
        "waiters (MAX_WAITING)": config["OPTIONS"]["MAX_WAITING"],
        "POOL_TIMEOUT": config["OPTIONS"]["POOL_TIMEOUT"],
    }
    if config["OPTIONS"]["REUSE_CONNS"]:  # else none is kept, and none grows old or idle
        found["CONN_MAX_AGE"] = config["CONN_MAX_AGE"]
        found["idle limit (MAX_IDLE)"] = config["OPTIONS"]["MAX_IDLE"]
    return found


def of_the_server(live: ServerLimits) -> dict[str, int]:
    """What the server enforces, by the budget's names."""
    return {
        "MAX_USER_CONNECTIONS": live.max_user_connections,
        "wait_timeout": live.wait_timeout,
        "open_files_limit": live.open_files_limit,
        "table_open_cache": live.table_open_cache,
        "thread_cache_size": live.thread_cache_size,
        "back_log": live.back_log,
    }
