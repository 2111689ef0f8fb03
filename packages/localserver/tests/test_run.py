"""`python -m localserver run -- COMMAND`: what COMMAND is given, and how all of it ends."""

import contextlib
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from budget.plan import plan
from budget.source import load
from localserver import processes
from localserver.serve import next_free_port
from localserver.server import Server
from tests.places import TEMPLATE

pytestmark = [pytest.mark.full, pytest.mark.server]

RUN = [sys.executable, "-m", "localserver", "run", "--name", "shop", "--"]

#: What the project's Gunicorn stands for here: it uses the database when it starts, and again while
#: it ends. Each line it prints is an event a test can wait for.
APPLICATION = """
import os, signal, sys, time
import pymysql

def say(text):  # not print: a signal in the middle of one ends in "reentrant call"
    os.write(1, text.encode() + b"\\n")

def ask():
    account = {"user": os.environ["DB_USER"], "password": os.environ["DB_PASSWORD"]}
    with pymysql.connect(unix_socket=os.environ["DB_HOST"], **account) as connection:
        connection.ping()

def end(number, frame):
    say(f"got {signal.Signals(number).name}")
    ended.append(number)

ended = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
ask()
say(f"{os.getpid()} is ready")
while not ended:
    time.sleep(0.05)  # not pause(): the signal may have come before it
time.sleep(0.5)  # ending takes a while; a second signal would be seen
try:
    ask()
    say("finished its last request")
except pymysql.Error as error:
    say(f"lost the database: {error}")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a budget and an application, the working directory of the test."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "budget.toml").write_text(
        textwrap.dedent(
            """
            [server]
            max_connections = 51
            [application]
            workers = 2
            worker_connections = 100
            """
        )
    )
    (folder / "app.py").write_text(APPLICATION)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(TEMPLATE))
    for name in ("DATABASE_URL", "DB_HOST", "DB_NAME", "LOCALSERVER_DIR", "BUDGET_FILE"):
        monkeypatch.delenv(name, raising=False)
    return folder


class Terminal:
    """A process with a terminal of its own, as a person's shell starts it."""

    def __init__(self, *command: str) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)
        self._fd = os.pidfd_open(self.pid)
        self.text = ""

    def wait_for(self, text: str, timeout: float = 30.0) -> None:
        while text not in self.text:
            assert select.select([self._master], [], [], timeout)[0], f"no {text!r}: {self.text}"
            try:
                self.text += os.read(self._master, 4096).decode()
            except OSError:  # the terminal's last process ended
                break
        assert text in self.text, self.text

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def close_window(self) -> None:
        os.close(self._master)

    def end(self, timeout: float = 30.0) -> int:
        assert select.select([self._fd], [], [], timeout)[0], f"still runs: {self.text}"
        with contextlib.suppress(OSError):
            while select.select([self._master], [], [], 0.2)[0]:
                self.text += os.read(self._master, 4096).decode()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(project: Path) -> Iterator[Terminal]:
    """A terminal in which the application runs and is ready."""
    one = Terminal(*RUN, sys.executable, "app.py")
    one.wait_for("is ready")
    yield one
    with contextlib.suppress(ProcessLookupError):
        os.kill(one.pid, signal.SIGKILL)


def localserver(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localserver", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return localserver("run", "--name", "shop", "--", *command, **environment)


def nothing_runs(project: Path) -> bool:
    return processes.running_on(project / ".localserver" / "data") is None


CLIENT = 'mariadb --no-defaults -S "$DB_HOST" -u"$DB_USER" -p"$DB_PASSWORD" -N'


# -- what the command is given --------------------------------------------------------------------


def test_the_commands_exit_code_is_handed_on(project: Path) -> None:
    assert run("sh", "-c", "exit 7").returncode == 7
    assert run("sh", "-c", "kill -KILL $$").returncode == 137
    assert nothing_runs(project)


def test_a_command_that_does_not_exist_is_named(project: Path) -> None:
    done = run("no-such-command")
    assert done.returncode == 1
    assert "cannot run no-such-command" in done.stderr
    assert nothing_runs(project)


def test_the_application_account_may_not_change_tables(project: Path) -> None:
    done = run("sh", "-c", f"{CLIENT} shop -e 'CREATE TABLE t (n INT)'")
    assert "CREATE command denied" in done.stderr


def test_the_migration_account_may(project: Path) -> None:
    done = localserver(
        *("run", "--migration", "--name", "shop", "--", "sh", "-c"),
        f"{CLIENT} shop -e 'CREATE TABLE t (n INT)'",
    )
    assert done.returncode == 0, done.stderr


def test_the_migration_account_may_no_more_than_in_production(project: Path) -> None:
    done = localserver(
        *("run", "--migration", "--name", "shop", "--", "sh", "-c"),
        f"{CLIENT} shop -e 'CREATE PROCEDURE p() SELECT 1'",
    )
    assert done.returncode != 0
    assert "denied" in done.stderr


def test_the_budget_reaches_the_server_and_the_account(project: Path) -> None:
    expected = plan(load(project / "budget.toml", {}))
    done = run("sh", "-c", f"{CLIENT} -e 'SELECT @@max_connections, @@max_user_connections'")
    assert done.stdout == f"51\t{expected.max_user_connections}\n"


def test_a_budget_that_does_not_fit_starts_nothing(project: Path) -> None:
    done = run("true", BUDGET_WORKERS="500")
    assert done.returncode == 1
    assert "500" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / ".localserver" / "data").exists()


@pytest.mark.parametrize("name", ["DATABASE_URL", "DB_HOST"])
def test_a_server_named_in_the_environment_is_used_instead(project: Path, name: str) -> None:
    done = run("sh", "-c", 'echo "<$DB_USER>"', **{name: "mysql://elsewhere/shop"})
    assert done.stdout == "<>\n"
    assert f"{name} is set" in done.stderr
    assert not (project / ".localserver").exists()


def test_a_server_named_in_dot_env_is_used_instead(project: Path) -> None:
    (project / ".env").write_text("# database\nDATABASE_URL=mysql://elsewhere/shop\n")
    assert run("true").returncode == 0
    assert not (project / ".localserver").exists()


@pytest.mark.parametrize("line", ["export DATABASE_URL=mysql://x/y", "DB_HOST='db.example.com'"])
def test_dot_env_is_read_as_django_reads_it(project: Path, line: str) -> None:
    (project / ".env").write_text(line)
    assert run("true").returncode == 0
    assert not (project / ".localserver").exists()


@pytest.mark.parametrize("empty", ["", '""', "''"])
def test_an_empty_line_in_dot_env_names_no_server(project: Path, empty: str) -> None:
    (project / ".env").write_text(f"DATABASE_URL={empty}\nDB_HOST={empty}\n")
    assert run("sh", "-c", 'test -S "$DB_HOST"').returncode == 0


def test_tests_never_follow_the_developers_database_url(project: Path) -> None:
    done = localserver(
        *("run", "--tests", "--name", "shop", "--", "sh", "-c"),
        'echo "<$DATABASE_URL>"; test -S "$DB_HOST"',
        DATABASE_URL="mysql://elsewhere/shop",
    )
    assert (done.returncode, done.stdout) == (0, "<>\n")


def test_the_account_for_tests_may_make_test_databases_and_no_others(project: Path) -> None:
    arguments = ("run", "--tests", "--name", "shop", "--", "sh", "-c")
    for name in ("test_shop", "test_shop_gw0"):
        done = localserver(*arguments, f"{CLIENT} -e 'CREATE DATABASE {name}'")
        assert done.returncode == 0, done.stderr
    done = localserver(*arguments, f"{CLIENT} -e 'CREATE DATABASE other'")
    assert "Access denied" in done.stderr


def test_the_account_for_tests_has_the_budgets_limit_too(project: Path) -> None:
    expected = plan(load(project / "budget.toml", {})).max_user_connections
    arguments = ("run", "--tests", "--name", "shop", "--", "sh", "-c")
    done = localserver(*arguments, f"{CLIENT} -e 'SELECT @@max_user_connections'")
    assert done.stdout == f"{expected}\n"


def test_data_is_kept_for_the_next_run(project: Path) -> None:
    statements = "CREATE TABLE t (n INT); INSERT INTO t VALUES (7)"
    done = localserver(
        "run", "--migration", "--name", "shop", "--", "sh", "-c", f"{CLIENT} shop -e '{statements}'"
    )
    assert done.returncode == 0, done.stderr
    assert run("sh", "-c", f"{CLIENT} shop -e 'SELECT n FROM t'").stdout == "7\n"


# -- how it ends ----------------------------------------------------------------------------------


def test_ctrl_c_reaches_the_command_once_and_the_server_waits_for_it(
    project: Path, terminal: Terminal
) -> None:
    # The runner gets to it only after the application did: passed on, it would arrive as a second.
    os.kill(terminal.pid, signal.SIGSTOP)
    terminal.press_ctrl_c()
    terminal.wait_for("got SIGINT")
    os.kill(terminal.pid, signal.SIGCONT)
    assert terminal.end() == 0
    assert terminal.text.count("got SIGINT") == 1
    assert "got SIGTERM" not in terminal.text
    assert "finished its last request" in terminal.text
    assert nothing_runs(project)


def test_the_terminal_does_not_reach_the_server(project: Path, terminal: Terminal) -> None:
    server = processes.running_on(project / ".localserver" / "data")
    assert server
    assert os.getsid(server) != os.getsid(terminal.pid)  # Ctrl-C, Ctrl-Z and Ctrl-\\ are not for it


def test_ctrl_c_is_passed_on_to_a_command_in_a_group_of_its_own(project: Path) -> None:
    (project / "app.py").write_text("import os; os.setpgid(0, 0)" + APPLICATION)
    terminal = Terminal(*RUN, sys.executable, "app.py")
    terminal.wait_for("is ready")
    terminal.press_ctrl_c()
    assert terminal.end() == 0
    assert terminal.text.count("got SIGINT") == 1
    assert "finished its last request" in terminal.text
    assert nothing_runs(project)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_runner_alone_ends_all_of_it(
    project: Path, terminal: Terminal, name: str
) -> None:
    os.kill(terminal.pid, signal.Signals[name])
    assert terminal.end() == 0
    assert terminal.text.count("got ") == 1
    assert f"got {name}" in terminal.text
    assert "finished its last request" in terminal.text
    assert nothing_runs(project)


def test_a_closed_window_ends_all_of_it(project: Path, terminal: Terminal) -> None:
    terminal.close_window()
    assert select.select([terminal._fd], [], [], 30)[0], "the runner outlived its terminal"
    assert nothing_runs(project)


def test_a_runner_that_is_killed_leaves_neither_command_nor_server(
    project: Path, terminal: Terminal
) -> None:
    server = processes.running_on(project / ".localserver" / "data")
    application = int(terminal.text.split(" is ready")[0].split()[-1])
    assert server
    watched = [os.pidfd_open(pid) for pid in (server, application)]
    os.kill(terminal.pid, signal.SIGKILL)
    for one in watched:
        assert select.select([one], [], [], 30)[0], "something outlived the runner"
        os.close(one)


def test_the_next_run_after_a_killed_runner_works(project: Path, terminal: Terminal) -> None:
    os.kill(terminal.pid, signal.SIGKILL)
    os.waitpid(terminal.pid, 0)
    assert run("true").returncode == 0


def test_the_command_ends_when_the_server_dies(project: Path, terminal: Terminal) -> None:
    server = processes.running_on(project / ".localserver" / "data")
    assert server
    os.kill(server, signal.SIGKILL)
    assert terminal.end() == 1  # although the application ended in order
    assert "The database server ended; its log is" in terminal.text
    assert "got SIGTERM" in terminal.text


# -- a second terminal ----------------------------------------------------------------------------


def test_a_second_run_in_the_same_folder_is_refused(project: Path, terminal: Terminal) -> None:
    done = run("true")
    assert done.returncode == 1
    assert f"in use by process {terminal.pid}" in done.stderr
    assert not nothing_runs(project)


def test_join_uses_the_running_server_and_leaves_it_running(
    project: Path, terminal: Terminal
) -> None:
    done = localserver("run", "--join", "--", "sh", "-c", f"{CLIENT} -e 'SELECT @@datadir'")
    assert done.stdout == f"{project}/.localserver/data/\n"
    assert not nothing_runs(project)


def test_join_starts_one_when_none_runs(project: Path) -> None:
    done = localserver("run", "--join", "--name", "shop", "--", "sh", "-c", 'test -S "$DB_HOST"')
    assert done.returncode == 0, done.stderr
    assert nothing_runs(project)


def test_passwords_are_readable_by_their_owner_only(project: Path) -> None:
    run("true")
    assert (project / ".localserver" / "accounts.json").stat().st_mode & 0o077 == 0


def test_status_sql_and_stop(project: Path, terminal: Terminal) -> None:
    assert "runs (process" in localserver("status").stdout
    assert localserver("sql", "SELECT 6 * 7").stdout == "42\n"
    assert localserver("stop").returncode == 0
    terminal.end()
    assert nothing_runs(project)
    done = localserver("status")
    assert (done.returncode, "does not run" in done.stdout) == (3, True)


def test_two_projects_run_side_by_side(project: Path, tmp_path: Path, terminal: Terminal) -> None:
    done = localserver("--folder", str(tmp_path / "other"), "run", "--name", "shop", "--", "true")
    assert done.returncode == 0, done.stderr
    assert not nothing_runs(project)


# -- ports ----------------------------------------------------------------------------------------


def test_the_next_free_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert next_free_port(port) not in (None, port)
    assert next_free_port(port) == port


@pytest.mark.parametrize("port", ["abc", "0", "70000", "-1", "8e3"])
def test_a_port_that_is_none_is_named_before_anything_is_started(port: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "localserver.serve"],
        cwd=TEMPLATE,
        env={**os.environ, "PORT": port},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"PORT is {port!r}: it has to be a number from 1 to 65535.\n"


def test_a_server_object_is_not_needed_to_find_a_running_one(
    project: Path, terminal: Terminal
) -> None:
    assert Server(".localserver").sql("SELECT 1") == [["1"]]
