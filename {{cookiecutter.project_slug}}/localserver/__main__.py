"""``python -m localserver``: the command line of the private database server.

run -- COMMAND     start the server, run COMMAND with DB_* set, stop the server
status             say whether it runs, and how to connect
sql [STATEMENT]    run SQL as the administrator (from standard input without STATEMENT)
stop               stop a server that runs, or was left behind
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from localserver import accounts, processes
from localserver.programs import ServerError
from localserver.server import Server, answers, end_process

if TYPE_CHECKING:
    from budget.plan import Plan

#: Any of these, in the environment or in .env, says that there is a database server already.
OTHER_SERVER = ("DATABASE_URL", "DB_HOST")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(arguments)
    server = Server(options.folder, flavour=options.flavour)
    try:
        return {"run": run, "status": status, "sql": sql, "stop": stop}[options.action](
            server, options
        )
    except ServerError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def parser() -> argparse.ArgumentParser:
    """The command line's options and actions."""
    top = argparse.ArgumentParser(prog="python -m localserver", description=__doc__)
    top.formatter_class = argparse.RawDescriptionHelpFormatter
    top.add_argument(
        "--folder",
        default=os.environ.get("LOCALSERVER_DIR", ".localserver"),
        help="where data, socket and log are (default: $LOCALSERVER_DIR or .localserver)",
    )
    top.add_argument("--flavour", default="auto", choices=["auto", "mariadb", "mysql"])
    actions = top.add_subparsers(dest="action", required=True)
    action = actions.add_parser("run", help="start the server for the time of one command")
    action.add_argument(
        "--name",
        default=os.environ.get("DB_NAME") or Path.cwd().name,
        help="of the database and its accounts (default: $DB_NAME or the folder's name)",
    )
    action.add_argument(
        "--tests",
        action="store_true",
        help="one account that may create and drop test_NAME databases, for a test runner",
    )
    action.add_argument(
        "--join",
        action="store_true",
        help="use the server that a `run` in another terminal has started, if there is one",
    )
    action.add_argument(
        "--migration",
        action="store_true",
        help="give COMMAND the account that may change tables",
    )
    action.add_argument("command", nargs="+", metavar="COMMAND")
    actions.add_parser("status", help="does it run, and where")
    action = actions.add_parser("sql", help="SQL as the administrator")
    action.add_argument("statement", nargs="?")
    actions.add_parser("stop", help="stop the server of this folder")
    return top


# -- run ------------------------------------------------------------------------------------------


def run(server: Server, options: argparse.Namespace) -> int:
    """Start the server for the time of one command; return the command's exit status."""
    if not options.tests and (name := other_server()):
        say(f"{name} is set: no private database server is started.")
        return watch(start_command(options.command, {}), None)
    if options.join and server.pid and answers(server.socket):
        environment = chosen_account(accounts.read(server), options)
        return watch(start_command(options.command, environment), None)
    # SIGTERM skips `finally` unless it is made an exception, and the server would go on running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    plan = application_plan()
    server.options |= plan.server_options() if plan else {}
    try:
        server.start()
        say(f"Private {server.programs.name} in {server.folder}")
        limit = plan.max_user_connections if plan else 0
        made = accounts.make(server, options.name, limit, tests=options.tests)
        return watch(start_command(options.command, chosen_account(made, options)), server)
    finally:
        server.stop()


def chosen_account(environment: dict[str, str], options: argparse.Namespace) -> dict[str, str]:
    """``environment`` with the account the command is to use in DB_USER and DB_PASSWORD."""
    if options.migration:
        return environment | {
            "DB_USER": environment["DB_MIGRATE_USER"],
            "DB_PASSWORD": environment["DB_MIGRATE_PASSWORD"],
        }
    return environment


def application_plan() -> "Plan | None":
    """What the project's connection budget derives; None where this package was copied without it.

    Raises `ServerError` for a budget that does not fit, with its whole list of problems.
    """
    path = Path(os.environ.get("BUDGET_FILE", "budget.toml"))
    if not path.exists():
        return None
    from budget.plan import plan
    from budget.source import load

    try:
        return plan(load(path))
    except ValueError as error:
        raise ServerError(str(error)) from error


def other_server() -> str | None:
    """The variable that points the project to a server of its own choice; None if none does."""
    values: dict[str, str] = {}
    with contextlib.suppress(OSError):
        # As django-environ reads it: `export` and quotes are allowed, indentation is not.
        for line in Path(".env").read_text(errors="replace").splitlines():
            if found := re.match(r"(?:export )?(\w+)=(['\"]?)(.*)\2$", line):
                values[found[1]] = found[3].strip()
    values |= os.environ
    return next((name for name in OTHER_SERVER if values.get(name)), None)


def start_command(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start ``command``, which ends when this process ends, with ``environment`` added to ours.

    Raises `ServerError` if there is no such program.
    """
    try:
        return subprocess.Popen(
            command,
            env={**os.environ, **environment},
            preexec_fn=processes.child_setup(die_with_parent=True),  # noqa: PLW1509
        )
    except OSError as error:
        raise ServerError(f"cannot run {command[0]}: {error.strerror}") from error


def watch(child: subprocess.Popen[bytes], server: Server | None) -> int:
    """Wait for the command, pass signals on, and end it if the server ends; return its exit status.

    A command whose server ended before it has failed, even if it exits with 0 after our SIGTERM.

    Ctrl-C reaches the command from the terminal itself (the kernel sends it to the whole process
    group), so it is passed on only if a process sent it, or if the command left our group.
    """
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
    signal.pthread_sigmask(signal.SIG_BLOCK, {*ending, signal.SIGCHLD})
    server_ended = False
    while child.poll() is None:
        if server is not None and server.pid is None and not server_ended:
            say(f"The database server ended; its log is {server.log}.")
            child.terminate()
            server_ended = True
        caught = signal.sigwaitinfo({*ending, signal.SIGCHLD})
        if caught.si_signo == signal.SIGHUP:
            child.terminate()  # the terminal is gone; to Gunicorn SIGHUP itself would mean reload
        elif caught.si_signo in ending and (caught.si_pid != 0 or in_another_group(child)):
            child.send_signal(caught.si_signo)
    code = child.returncode
    if code == 0 and server_ended:
        return 1
    return code if code >= 0 else 128 - code


def in_another_group(child: subprocess.Popen[bytes]) -> bool:
    """Whether the command made a process group of its own, which the terminal's Ctrl-C misses."""
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(child.pid) != os.getpgrp()
    return False


def say(text: str) -> None:
    """Tell the person; standard output belongs to the command."""
    print(text, file=sys.stderr, flush=True)


# -- status, sql, stop ----------------------------------------------------------------------------


def status(server: Server, options: argparse.Namespace) -> int:
    """Print whether the server runs and where; exit status 3 if it does not."""
    pid = server.pid
    if pid is None:
        print(f"The database server of {server.folder} does not run.")
        return 3  # as `systemctl status` does
    print(f"The database server of {server.folder} runs (process {pid}).")
    print(f"Socket: {server.socket}\nLog:    {server.log}")
    return 0


def sql(server: Server, options: argparse.Namespace) -> int:
    """Print the rows of a statement, with tabs between the columns."""
    statement = sys.stdin.read() if options.statement is None else options.statement
    for row in server.sql(statement):
        print("\t".join(row))
    return 0


def stop(server: Server, options: argparse.Namespace) -> int:
    """Stop the server of the folder, whoever started it."""
    pid = server.pid
    if pid is None:
        print(f"The database server of {server.folder} does not run.")
    else:
        end_process(pid)
        print(f"The database server of {server.folder} is stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
