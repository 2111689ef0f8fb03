"""`manage.py pool`: the budget beside what the running server says, and the pools of the host."""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

import mysql_pool
from config.checks import account_limit_fits, server_limits_fit
from ops.host import Processes, processes_or_reason
from ops.limits import rows
from ops.server import ServerLimits, ask_server

#: Column, attribute of mysql_pool.Record.
COLUMNS = (
    ("guaranteed", "guaranteed"),
    ("may have", "most"),
    ("open", "open"),
    ("in use", "in_use"),
    ("idle", "idle"),
    ("waiting", "waiting"),
    ("waits", "waits"),
    ("timeouts", "timeouts"),
)
COUNTERS = ("waits", "timeouts")  # the columns that outlast a process
EVERY = 1  # seconds, with --watch
# Of a terminal: to the upper left corner; and erase the rest of a line, of the screen.
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Command(BaseCommand):
    help = (
        "Shows the connection budget beside the limits of the running database server, how many "
        "connections it has now, and the pools of all processes of this host. Without a ledger "
        "(LEDGER in the database's OPTIONS) it knows this process's pool alone."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", default="default", help="alias (default: default)")
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--watch",
            action="store_true",
            help="the pools and the server's count, anew each second, until Ctrl-C",
        )

    def handle(self, *args: Any, database: str, **options: Any) -> None:
        if database not in settings.DATABASES:
            known = ", ".join(settings.DATABASES)
            raise CommandError(f"There is no database alias {database!r}, only {known}.")
        if options["watch"]:
            self.watch(database, as_json=options["json"])
            return
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
        write("")
        for line in server_lines(live):
            write(line)
        for line in pool_lines():
            write(line)
        messages = server_limits_fit(plan, live) + account_limit_fits(plan, live)
        for message in messages:
            style = self.style.ERROR if message.is_serious() else self.style.WARNING
            write(style(f"\n{message}"))
        if any(message.is_serious() for message in messages):
            raise CommandError("The server does not keep the budget.")

    def watch(self, database: str, *, as_json: bool) -> None:
        """Until Ctrl-C, which is no error. A server that does not answer is shown like an answer:
        that is when somebody watches."""
        in_place = self.stdout.isatty() and not as_json
        if in_place:
            self.stdout.write(HOME + REST_OF_SCREEN, ending="")
        try:
            while True:
                if as_json:
                    self.stdout.write(watched_json(database))
                else:
                    self.show_watched(list(watched_lines(database)), in_place=in_place)
                self.stdout.flush()
                time.sleep(EVERY)
        except KeyboardInterrupt:
            self.stdout.write("")

    def show_watched(self, lines: list[str], *, in_place: bool) -> None:
        if in_place:
            text = "".join(f"{line}{REST_OF_LINE}\n" for line in lines)
            self.stdout.write(HOME + text + REST_OF_SCREEN, ending="")
        else:
            self.stdout.write("\n".join(lines) + "\n")


def server_lines(live: ServerLimits) -> Iterator[str]:
    """Connections as the server counts them."""
    yield f"{live.account} on {live.version}"
    yield f"  connections now            {live.connections:>6}"
    yield f"  of them this account's     {live.connections_of_account:>6}"
    yield f"  most since its start       {live.most_connections:>6}"
    yield f"  refused since its start    {live.refused_connections:>6}"


def pool_lines() -> Iterator[str]:
    """The pools of all processes of this host, or of this one where there is no ledger."""
    host, reason = processes_or_reason()
    if reason:
        yield f"\n{reason}"
    if host:
        yield from host_lines(host)
        return
    for alias, pool in mysql_pool.stats().items():
        yield f"\nPool of this process, {alias}"
        for name, value in pool.items():
            yield f"  {name:24} {shown(value):>9}"


def host_lines(host: Processes) -> Iterator[str]:
    """A table: a line for each pool, one for those that have ended, and the sums."""
    names = "".join(f"{name:>11}" for name, _ in COLUMNS)
    yield "\nPools of this host"
    yield f"  {'role':12}{'pid':>9} {'alias':12}{names}"
    for one in host.living:
        numbers = "".join(f"{getattr(one, key):>11}" for _, key in COLUMNS)
        yield f"  {one.role or '-':12}{one.pid:>9} {one.alias:12}{numbers}"
    counted = "".join(
        f"{sum(getattr(one, key) for one in host.ended) if key in COUNTERS else '-':>11}"
        for _, key in COLUMNS
    )
    yield f"  {'':12}{'ended':>9} {'':12}{counted}"
    total = host.total
    sums = "".join(f"{getattr(total, key) if key != 'most' else '-':>11}" for _, key in COLUMNS)
    yield f"  {'':12}{'all':>9} {'':12}{sums}"
    for alias, most in host.most.items():
        opened = sum(one.open for one in host.living if one.alias == alias)
        yield f"  {opened} of {most} connections that this host may have (HOST_CONNS, {alias})"


def watched_lines(database: str) -> Iterator[str]:
    """What --watch shows for people."""
    yield time.strftime("%H:%M:%S")
    yield ""
    try:
        yield from server_lines(ask_server(database))
    except DatabaseError as error:
        yield f"The database server does not answer: {error}"
    yield from "\n".join(pool_lines()).splitlines()


def watched_json(database: str) -> str:
    """The same for programs, in one line."""
    try:
        return as_json(ask_server(database))
    except DatabaseError as error:
        return as_json(None, error=str(error))


def shown(value: Any) -> str:
    """A counter for people: seconds with three digits, reasons as `reason 3`."""
    if isinstance(value, dict):
        return ", ".join(f"{reason} {number}" for reason, number in value.items()) or "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def as_json(live: ServerLimits | None, error: str = "") -> str:
    """Everything that `show` prints. `host` is null without a ledger, or where none can be read;
    `problems` says why something is missing."""
    host, reason = processes_or_reason()
    return json.dumps(
        {
            "plan": settings.PLAN.as_dict(),
            "server": asdict(live) if live else None,
            "pools": mysql_pool.stats(),
            "host": asdict(host) if host else None,
            "problems": [problem for problem in (error, reason) if problem],
        }
    )
