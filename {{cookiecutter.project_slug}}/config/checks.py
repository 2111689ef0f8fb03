"""System checks: do the settings in force, and the running server, keep the connection budget?

`manage.py check` compares the settings, with `--database default` also the server; config/wsgi.py
runs the first group at the start of each worker. Each check reads the value that is in force, not
the file it came from.
"""

import sys
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connections

from budget.plan import Plan
from ops.server import ServerLimits, ask_server

TAG = "budget"

#: Accounts of this name's form run migrations: they are few, and not under the application's limit.
MIGRATION_SUFFIX = "_migrate"

#: What a worker waits in.
MUST_BE_PATCHED = ("socket", "ssl", "select", "threading", "time")


def refuse_to_serve_on_errors() -> None:
    """Raise RuntimeError, with all messages, if a worker with these settings must not serve."""
    errors = [str(message) for message in checks.run_checks(tags=[TAG]) if message.is_serious()]
    if errors:  # sorted: Django keeps its checks in a set
        raise RuntimeError(
            "This worker does not fit the connection budget:\n" + "\n".join(sorted(errors))
        )


def pool_aliases() -> dict[str, dict[str, Any]]:
    """The settings of each database alias that uses the pool, be it with an ENGINE of one's own."""
    return {
        alias: connections[alias].settings_dict
        for alias in connections
        if any(cls.__module__ == "mysql_pool.base" for cls in type(connections[alias]).__mro__)
    }


# -- the settings in force --------------------------------------------------------------------


@checks.register(TAG)
def pools_fit(**kwargs: Any) -> list[checks.CheckMessage]:
    """Every alias has a pool of at most the size that the budget gives it (E001, E002).

    It counts its connections with those of its host where the budget says so (E007).
    """
    plan: Plan = settings.PLAN
    share = settings.POOL_SHARE
    found: list[checks.CheckMessage] = []
    aliases = pool_aliases()
    for alias, config in aliases.items():
        size = config["OPTIONS"].get("MAX_CONNS")
        if size is None or size > share["MAX_CONNS"]:
            found.append(
                checks.Error(
                    f"DATABASES[{alias!r}]: MAX_CONNS is {size}, the budget gives a worker "
                    f"{share['MAX_CONNS']}.",
                    hint="Take POOL_SHARE, or change budget.toml (`make budget` shows both).",
                    id="config.E001",
                )
            )
        for name in ("LEDGER", "HOST_CONNS"):
            value = config["OPTIONS"].get(name)
            if value != share.get(name):
                found.append(
                    checks.Error(
                        f"DATABASES[{alias!r}]: {name} is {value!r}, the budget and POOL_LEDGER "
                        f"make it {share.get(name)!r}.",
                        hint="All processes of a host have to count together, up to one number: "
                        "take POOL_SHARE.",
                        id="config.E007",
                    )
                )
    if len(aliases) > plan.budget.database_aliases:
        found.append(
            checks.Error(
                f"{len(aliases)} database aliases use the pool ({', '.join(aliases)}); the budget "
                f"shares the server between {plan.budget.database_aliases}.",
                hint="Set database_aliases in budget.toml: every alias has a pool of its own.",
                id="config.E002",
            )
        )
    return found


@checks.register(TAG)
def connections_end_in_time(**kwargs: Any) -> list[checks.CheckMessage]:
    """A connection ends before the server ends it (E003), a wait before the request (E004)."""
    budget = settings.PLAN.budget
    found: list[checks.CheckMessage] = []
    for alias, config in pool_aliases().items():
        kept = config["OPTIONS"].get("REUSE_CONNS") != 0
        ages = {
            "CONN_MAX_AGE": config["CONN_MAX_AGE"],
            "OPTIONS['MAX_IDLE']": config["OPTIONS"].get("MAX_IDLE"),
        }
        for name, seconds in ages.items():
            if kept and (not seconds or seconds >= budget.wait_timeout):
                found.append(
                    checks.Error(
                        f"DATABASES[{alias!r}]: {name} is {seconds}, not between 0 and the "
                        f"server's wait_timeout ({budget.wait_timeout} s).",
                        hint="The server would close connections that are about to be used "
                        "(2006, server has gone away). Take the value of PLAN.",
                        id="config.E003",
                    )
                )
        wait = config["OPTIONS"].get("POOL_TIMEOUT")
        if not wait or wait >= budget.request_deadline:
            found.append(
                checks.Error(
                    f"DATABASES[{alias!r}]: POOL_TIMEOUT is {wait}, not between 0 and the "
                    f"request's deadline ({budget.request_deadline} s).",
                    hint="A client would be gone before it is told that the site is busy.",
                    id="config.E004",
                )
            )
    return found


@checks.register(TAG)
def greenlets_are_apart(**kwargs: Any) -> list[checks.CheckMessage]:
    """Where gevent has patched this process, it has patched all of it, and in time (E005, E006)."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("socket"):
        return []
    from gevent import spawn

    found: list[checks.CheckMessage] = []
    blocking = [name for name in MUST_BE_PATCHED if not monkey.is_module_patched(name)]
    if blocking:
        found.append(
            checks.Error(
                f"gevent has not patched {', '.join(blocking)}: one wait would stop all requests.",
                hint="Use monkey.patch_all() without exceptions, as config/wsgi.py does.",
                id="config.E005",
            )
        )
    for alias in pool_aliases():
        if spawn(connections.__getitem__, alias).get() is connections[alias]:
            found.append(
                checks.Error(
                    f"All greenlets share one connection object of {alias!r}, because django.db "
                    "was imported before gevent patched this process.",
                    hint="config/wsgi.py has to be imported before anything else: no preload_app, "
                    "no Django in gunicorn.conf.py.",
                    id="config.E006",
                )
            )
    return found


# -- the running server -----------------------------------------------------------------------


@checks.register(checks.Tags.database)
def server_keeps_the_budget(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """The server's limits are at least the budget's (E010 if it cannot be asked)."""
    found: list[checks.CheckMessage] = []
    for alias in pool_aliases().keys() & set(databases or ()):
        try:
            live = ask_server(alias)
        except DatabaseError as error:
            found.append(
                checks.Error(
                    f"The database server of {alias!r} does not answer: {error}",
                    hint="See DATABASE_URL or DB_* in .env.example.",
                    id="config.E010",
                )
            )
            continue
        found += server_limits_fit(settings.PLAN, live)
        found += account_limit_fits(settings.PLAN, live)
    return found


def server_limits_fit(plan: Plan, live: ServerLimits) -> list[checks.CheckMessage]:
    """The server takes as many connections, for as long, as the budget counts on (E011, E012)."""
    found: list[checks.CheckMessage] = []
    if live.max_connections < plan.budget.max_connections:
        found.append(
            checks.Error(
                f"The server's max_connections is {live.max_connections}, the budget counts on "
                f"{plan.budget.max_connections}.",
                hint="Raise it at the server, or set it in budget.toml. A server lowers it by "
                f"itself when it may open too few files (the budget: {plan.open_files_limit}).",
                id="config.E011",
            )
        )
    if live.wait_timeout < plan.budget.wait_timeout:
        found.append(
            checks.Error(
                f"The server's wait_timeout is {live.wait_timeout} s, the budget counts on "
                f"{plan.budget.wait_timeout} s.",
                hint="Connections would be closed while they wait in the pool. Raise it at the "
                "server, or set it in budget.toml.",
                id="config.E012",
            )
        )
    return found


def account_limit_fits(plan: Plan, live: ServerLimits) -> list[checks.CheckMessage]:
    """The account may open what the budget gives it, and not more (E013, W014)."""
    if live.account.rpartition("@")[0].endswith(MIGRATION_SUFFIX):
        return []
    limit, planned = live.max_user_connections, plan.max_user_connections
    statement = f"ALTER USER ... WITH MAX_USER_CONNECTIONS {planned}"
    if 0 < limit < planned:
        return [
            checks.Error(
                f"The account {live.account} may open {limit} connections, the budget counts on "
                f"{planned}.",
                hint=f"As the server's administrator: {statement}.",
                id="config.E013",
            )
        ]
    if limit != planned:
        return [
            checks.Warning(
                f"The account {live.account} may open {limit or 'any number of'} connections; "
                f"the budget leaves it {planned}, so that an administrator can always log in.",
                hint=f"As the server's administrator: {statement}.",
                id="config.W014",
            )
        ]
    return []
