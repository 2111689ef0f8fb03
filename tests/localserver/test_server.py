"""The private server in a folder: its life, and what crashes, strangers and full disks do to it."""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest

from localserver import processes
from localserver.programs import Programs, ServerError, find, initialise
from localserver.server import MYSQL_DEFAULTS, SOCKET_PATH_LIMIT, AlreadyRunning, Server, answers

pytestmark = pytest.mark.server

TEMPLATE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
NOBODY = 65534

StartServer = Callable[..., Server]


def gone(pid: int, timeout: float = 20.0) -> bool:
    """Whether the process, not a child of ours, ends in time."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], timeout)[0])
    finally:
        os.close(fd)


def in_another_process(
    code: str, *arguments: str, start_new_session: bool = False
) -> subprocess.Popen[str]:
    """Run Python ``code`` with the template's packages importable; its output can be read."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=TEMPLATE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user can get to.

    Not below tmp_path: each pytest that starts closes the folder all of them share.
    """
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


STARTER = """
import sys, signal
from localserver.server import Server
server = Server(sys.argv[1])
server.start()
print(server.pid, flush=True)
signal.pause()
"""


def test_it_starts_in_an_empty_folder_and_listens_on_a_socket_only(new_server: StartServer) -> None:
    server = new_server()
    assert server.sql("SELECT @@datadir, @@skip_networking") == [[f"{server.datadir}/", "1"]]
    assert server.port is None
    assert answers(server.socket)


def test_the_folder_is_closed_to_other_users(new_server: StartServer) -> None:
    assert stat.S_IMODE(new_server().folder.stat().st_mode) == 0o700


def test_options_reach_the_server(new_server: StartServer) -> None:
    server = new_server(max_connections=17, wait_timeout="123")
    assert server.sql("SELECT @@max_connections, @@wait_timeout") == [["17", "123"]]


def test_the_machines_configuration_is_not_read(
    new_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".my.cnf").write_text("[mysqld]\nwait_timeout = 77\n[client]\nuser = nobody\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert new_server(wait_timeout="123").sql("SELECT @@wait_timeout") == [["123"]]


def test_data_survives_stop_and_start(new_server: StartServer) -> None:
    server = new_server()
    server.ensure_database("kept")
    server.sql("CREATE TABLE t (n INT); INSERT INTO t VALUES (7)", "kept")
    server.restart()
    assert server.sql("SELECT n FROM t", "kept") == [["7"]]


def test_data_survives_a_crash(new_server: StartServer) -> None:
    server = new_server()
    server.ensure_database("kept")
    server.sql("CREATE TABLE t (n INT) ENGINE=InnoDB; INSERT INTO t VALUES (7)", "kept")
    crashed = server.pid
    server.kill()
    assert Path(server.socket).exists(), "a crash leaves the socket file; else nothing is tested"
    server.start()
    assert server.pid != crashed
    assert server.sql("SELECT n FROM t", "kept") == [["7"]]


def test_a_stale_pid_file_that_names_a_stranger_is_not_trusted(tmp_path: Path) -> None:
    with Server(tmp_path / "db") as server:
        pass
    with subprocess.Popen(["sleep", "600"]) as stranger:
        # Exactly what a crash and a reused process id leave behind.
        (server.folder / "server.pid").write_text(f"{stranger.pid}\n")
        Path(server.socket + ".lock").write_text(f"{stranger.pid}\n")
        assert server.pid is None
        server.start()
        assert server.pid not in (None, stranger.pid)
        server.stop()
        assert stranger.poll() is None, "the stranger was ended"
        stranger.kill()


def test_a_stale_socket_file_does_not_block(tmp_path: Path) -> None:
    server = Server(tmp_path / "db")
    server.folder.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(server.socket)
    assert not answers(server.socket)
    with server:
        assert answers(server.socket)


def test_a_first_start_that_was_cut_short_leaves_nothing_that_blocks(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    with in_another_process(STARTER, str(folder), start_new_session=True) as starter:
        deadline = time.monotonic() + 30
        while not list(folder.glob("data*")):
            assert time.monotonic() < deadline
        os.killpg(starter.pid, signal.SIGKILL)
    left = [path.name for path in folder.glob("data*")]
    assert left, "nothing was left behind: nothing is tested"
    with Server(folder) as server:
        assert server.sql("SELECT 1") == [["1"]]
    assert [path.name for path in folder.glob("data*")] == ["data"]


def test_a_long_path_falls_back_to_a_short_private_runtime_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("a-rather-long-folder-name-" * 4) / "project of mine"
    with Server(deep) as server:
        assert len(os.fsencode(server.socket)) <= SOCKET_PATH_LIMIT
        assert not server.socket.startswith(str(tmp_path))
        assert stat.S_IMODE(Path(server.socket).parent.stat().st_mode) == 0o700
        assert Server(deep).socket == server.socket, "a second terminal must find it"
        assert server.sql("SELECT @@datadir") == [[f"{deep}/data/"]]
    assert not Path(server.socket).exists()


def test_a_runtime_folder_prepared_by_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "t"
    monkeypatch.setattr("localserver.server.RUNTIME_FOLDER", short)
    short.mkdir()
    trap = short / f"localserver-{os.geteuid()}"
    trap.mkdir()
    trap.chmod(0o777)
    with pytest.raises(ServerError, match="0700"):
        _ = Server(tmp_path / ("x" * 100)).socket


def test_two_servers_run_side_by_side(new_server: StartServer) -> None:
    one, other = new_server("one"), new_server("other")
    one.ensure_database("only_here")
    assert ["only_here"] in one.sql("SHOW DATABASES")
    assert ["only_here"] not in other.sql("SHOW DATABASES")


def test_a_folder_has_one_server_at_a_time(new_server: StartServer) -> None:
    server = new_server()
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        Server(server.folder).start()
    assert server.sql("SELECT 1") == [["1"]], "the refused start must leave the first one alone"


def test_the_folder_is_free_again_after_stop(new_server: StartServer) -> None:
    server = new_server()
    server.stop()
    with Server(server.folder) as second:
        assert second.sql("SELECT 1") == [["1"]]


def test_the_server_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    with in_another_process(STARTER, str(tmp_path / "db")) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    assert gone(pid), "the server outlived the process that started it"


def test_a_server_left_behind_is_ended_by_the_next_start(tmp_path: Path) -> None:
    # As after a crash of the starter on a system that does not tell the child.
    orphan = STARTER.replace(
        "server.start()",
        "from localserver import processes; real = processes.child_setup\n"
        "processes.child_setup = lambda **k: real(**{**k, 'die_with_parent': False})\n"
        "server.start()",
    )
    with in_another_process(orphan, str(tmp_path / "db")) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    assert processes.running_on(tmp_path / "db" / "data") == pid, "it ended: nothing is tested"
    with Server(tmp_path / "db") as server:
        assert server.pid != pid
        assert gone(pid, 0)


def test_a_slow_shutdown_is_waited_for(new_server: StartServer) -> None:
    server = new_server()
    pid = server.pid
    assert pid is not None
    server.stop()
    assert gone(pid, 0)
    assert server.pid is None
    assert not answers(server.socket)


def test_stop_is_harmless_when_nothing_runs(tmp_path: Path) -> None:
    server = Server(tmp_path / "db")
    server.stop()
    assert not server.folder.exists()


# -- accounts -------------------------------------------------------------------------------------


def connect(server: Server, user: str, password: str, **more: object) -> pymysql.Connection:
    return pymysql.connect(unix_socket=server.socket, user=user, password=password, **more)


def test_an_accounts_limit_is_held_by_the_server(new_server: StartServer) -> None:
    server = new_server()
    server.ensure_database("shop")
    server.ensure_account("shop", "secret", "shop", max_user_connections=2)
    held = [connect(server, "shop", "secret") for _ in range(2)]
    with pytest.raises(pymysql.err.OperationalError) as refused:
        connect(server, "shop", "secret")
    assert refused.value.args[0] in (1203, 1226)  # ER_TOO_MANY_USER_CONNECTIONS, _LIMIT_REACHED
    for one in held:
        one.close()


def test_ensuring_an_account_again_corrects_it(new_server: StartServer) -> None:
    server = new_server()
    server.ensure_database("shop")
    server.ensure_account("shop", "old", "shop", privileges="ALL")
    server.ensure_account("shop", "it's \\ new", "shop", 5, privileges="SELECT")
    with pytest.raises(pymysql.err.OperationalError):
        connect(server, "shop", "old")
    with connect(server, "shop", "it's \\ new", database="shop") as connection:
        with connection.cursor() as cursor, pytest.raises(pymysql.err.OperationalError) as denied:
            cursor.execute("CREATE TABLE t (n INT)")
        assert denied.value.args[0] == 1142  # ER_TABLEACCESS_DENIED_ERROR


def test_an_underscore_in_a_database_name_is_no_wildcard(new_server: StartServer) -> None:
    server = new_server()
    server.ensure_database("a_b")
    server.ensure_database("axb")
    server.ensure_account("a_b", "secret", "a_b")
    with pytest.raises(pymysql.err.OperationalError) as denied:
        connect(server, "a_b", "secret", database="axb")
    assert denied.value.args[0] == 1044  # ER_DBACCESS_DENIED_ERROR


def test_the_administrator_cannot_log_in_over_tcp(new_server: StartServer) -> None:
    server = new_server(tcp=True)
    assert server.port is not None
    for user in ("root", server.sql("SELECT CURRENT_USER()")[0][0].split("@")[0]):
        with pytest.raises(pymysql.err.OperationalError) as denied:
            pymysql.connect(host="127.0.0.1", port=server.port, user=user, password="")
        assert denied.value.args[0] in (1045, 1130, 1698)


def test_the_administrator_gets_in_when_every_connection_is_taken(new_server: StartServer) -> None:
    server = new_server(max_connections=12)
    server.ensure_account("greedy", "secret", "test")
    held = [connect(server, "greedy", "secret") for _ in range(12)]
    with pytest.raises(pymysql.err.OperationalError) as refused:
        connect(server, "greedy", "secret")
    assert refused.value.args[0] == 1040  # ER_CON_COUNT_ERROR
    assert len(server.sql("SHOW PROCESSLIST")) >= 12
    for one in held:
        one.close()


def test_the_tcp_port_is_kept_over_a_restart(new_server: StartServer) -> None:
    server = new_server(tcp=True)
    port = server.port
    server.restart()
    assert server.port == port
    assert server.sql("SELECT @@port, @@bind_address") == [[str(port), "127.0.0.1"]]


def test_values_come_back_as_they_are(new_server: StartServer) -> None:
    rows = new_server().sql(r"SELECT 'tab\there', 'line\nbreak', 'back\\slash', 'back\\not', 'ö'")
    assert rows == [["tab\there", "line\nbreak", "back\\slash", "back\\not", "ö"]]


# -- errors a person can act on -------------------------------------------------------------------


def test_a_wrong_statement_raises_the_servers_message(new_server: StartServer) -> None:
    with pytest.raises(ServerError, match="no_such_table"):
        new_server().sql("SELECT * FROM mysql.no_such_table")


def test_an_unknown_option_is_named_with_the_servers_own_words(new_server: StartServer) -> None:
    with pytest.raises(ServerError, match=r"not known to this version[\s\S]*no.such.option"):
        new_server(no_such_option=1)


def test_a_failed_start_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ServerError):
        Server(tmp_path / "db", {"no_such_option": 1}).start()
    with Server(tmp_path / "db") as server:
        assert server.sql("SELECT 1") == [["1"]]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    server = Server(tmp_path / "db", tcp=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server.port = taken.getsockname()[1]
        with pytest.raises(ServerError, match="port is taken"):
            server.start()


def test_too_few_files_for_max_connections_is_refused(shared_folder: Path) -> None:
    # 1024 open files are the limit in many shells. MySQL silently makes 214 connections of it (at
    # most), MariaDB accepts the option and fails at the thousandth connection.
    code = """
import os, resource, sys
from localserver.server import Server, ServerError
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
if os.geteuid() == 0:  # root's server lifts the limit again, so become somebody
    os.setgid(65534); os.setuid(65534)
try:
    Server(sys.argv[1], {"max_connections": "2000"}).start()
except ServerError as error:
    print(error)
"""
    if os.geteuid() == 0:
        os.chown(shared_folder, NOBODY, NOBODY)
    with in_another_process(code, str(shared_folder / "db")) as process:
        output = process.communicate()[0]
    assert "cannot hold max_connections = 2000: it may open only 1024 files" in output


def test_missing_programs_are_named_with_the_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCALSERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("localserver.programs.EXTRA_FOLDERS", ())
    with pytest.raises(ServerError, match=r"sudo apt-get install .*mariadb-server-core"):
        Server(tmp_path / "db").start()


def test_a_missing_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = find()
    (tmp_path / Path(programs.server).name).symlink_to(programs.server)
    monkeypatch.delenv("LOCALSERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("localserver.programs.EXTRA_FOLDERS", ())
    with pytest.raises(ServerError, match="client-core"):
        find()


def test_mysql_needs_no_folder_for_imports(tmp_path: Path) -> None:
    """Debian's default, /var/lib/mysql-files, is made by a package that is not asked for."""
    server = tmp_path / "mysqld"
    server.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/arguments\n')
    server.chmod(0o755)
    mysql = Programs(
        flavour="mysql", version=(9, 7, 4), server=str(server), client="", install_db=None
    )
    initialise(mysql, tmp_path / "data", user="me", log=tmp_path / "log")
    assert "--secure-file-priv=NULL" in (tmp_path / "arguments").read_text().split()
    assert MYSQL_DEFAULTS["secure_file_priv"] == "NULL"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written to, not even by root."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("this sandbox may not mount")
    else:
        folder.chmod(0o500)
    yield folder
    if os.geteuid() == 0:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_folder_is_named(read_only: Path) -> None:
    with pytest.raises(ServerError, match=r"(?i)read-only|permission denied"):
        Server(read_only / "db").start()


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of as many MiB as the test asks for."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this sandbox may not mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("small_disk", [8], indirect=True)
def test_a_full_disk_is_named(small_disk: Path) -> None:
    with pytest.raises(ServerError, match="disk is full"):
        Server(small_disk / "db").start()


@pytest.mark.parametrize("small_disk", [300], indirect=True)
def test_a_disk_too_full_for_the_servers_own_log_is_named_too(small_disk: Path) -> None:
    with Server(small_disk / "db"):
        pass
    with (small_disk / "fill").open("wb", buffering=0) as fill, contextlib.suppress(OSError):
        while fill.write(b"\0" * 4096):
            pass
    with pytest.raises(ServerError, match="disk is full"):
        Server(small_disk / "db").start()


def test_a_folder_of_another_user_is_named(shared_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    folder = shared_folder / "roots"
    folder.mkdir(mode=0o700)
    code = """
import os, sys
from localserver.server import Server, ServerError
os.setgid(65534); os.setuid(65534)
try:
    Server(sys.argv[1]).start()
except ServerError as error:
    print(error)
"""
    with in_another_process(code, str(folder)) as process:
        output = process.communicate()[0]
    assert "Permission denied" in output
    assert "Run it as root" in output


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_normal_user_has_a_server_too(shared_folder: Path) -> None:
    os.chown(shared_folder, NOBODY, NOBODY)
    code = """
import os, sys
from localserver.server import Server
os.setgid(65534); os.setuid(65534)
with Server(sys.argv[1]) as server:
    server.ensure_database("shop")
    print(server.sql("SELECT CURRENT_USER()")[0][0] == f"{server.administrator}@localhost")
    print(os.stat(server.datadir).st_uid)
"""
    with in_another_process(code, str(shared_folder / "db")) as process:
        output = process.communicate()[0]
    assert output.split() == ["True", str(NOBODY)]


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    with in_another_process(STARTER, str(tmp_path / "db")) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        with (tmp_path / "db" / "lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        starter.kill()
    assert gone(pid)
    with (tmp_path / "db" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_temporary_files_are_not_shared_with_other_servers(new_server):
    one, two = new_server("one"), new_server("two")
    ((mine,),), ((other,),) = one.sql("SELECT @@tmpdir"), two.sql("SELECT @@tmpdir")
    assert Path(mine).parent == one.folder
    assert mine != other
