"""`manage.py pool`: the budget beside what the running server says, and the pool's counters."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

import mysql_pool
from config.checks import account_limit_fits, server_limits_fit
from ops.limits import rows
from ops.server import ServerLimits, ask_server


class Command(BaseCommand):
    help = (
        "Shows the connection budget beside the limits of the running database server, how many "
        "connections it has now, and this process's pool. /metrics has the pools of the workers."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", default="default", help="alias (default: default)")
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, database: str, **options: Any) -> None:
        if database not in settings.DATABASES:
            known = ", ".join(settings.DATABASES)
            raise CommandError(f"There is no database alias {database!r}, only {known}.")
        try:
            live = ask_server(database)
        except DatabaseError as error:
            raise CommandError(f"The database server does not answer: {error}") from error
        if options["json"]:
            self.stdout.write(as_json(live))
            return
        self.show(live, database)

    def show(self, live: ServerLimits, database: str) -> None:
        plan = settings.PLAN
        write = self.stdout.write
        write(f"{'':28}{'planned':>10}{'in force':>10}")
        write(f"{'max_connections':28}{plan.budget.max_connections:>10}{live.max_connections:>10}")
        for row in rows(plan, live, database):
            if row.in_force is not None:
                line = f"{row.limit.name:28}{row.limit.value:>10}{row.in_force:>10}"
                write(self.style.ERROR(line) if row.differs else line)
        write(f"\n{live.account} on {live.version}")
        write(f"  connections now            {live.connections:>6}")
        write(f"  of them this account's     {live.connections_of_account:>6}")
        write(f"  most since its start       {live.most_connections:>6}")
        write(f"  refused since its start    {live.refused_connections:>6}")
        for alias, pool in mysql_pool.stats().items():
            write(f"\nPool of this process, {alias}")
            for name, value in pool.items():
                write(f"  {name:24} {shown(value):>9}")
        messages = server_limits_fit(plan, live) + account_limit_fits(plan, live)
        for message in messages:
            style = self.style.ERROR if message.is_serious() else self.style.WARNING
            write(style(f"\n{message}"))
        if any(message.is_serious() for message in messages):
            raise CommandError("The server does not keep the budget.")


def shown(value: Any) -> str:
    """A counter for people: seconds with three digits, reasons as `reason 3`."""
    if isinstance(value, dict):
        return ", ".join(f"{reason} {number}" for reason, number in value.items()) or "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def as_json(live: ServerLimits) -> str:
    """Everything that `show` prints."""
    return json.dumps(
        {
            "plan": settings.PLAN.as_dict(),
            "server": asdict(live),
            "pools": mysql_pool.stats(),
        }
    )
