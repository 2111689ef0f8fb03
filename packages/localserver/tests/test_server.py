"""The private server in a folder: its life, and what crashes, strangers and full disks do to it."""

import fcntl
import os
import select
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from localserver import processes
from localserver.programs import ServerError
from localserver.server import SOCKET_PATH_LIMIT, AlreadyRunning, Server, answers

pytestmark = pytest.mark.server

NOBODY = 65534

StartServer = Callable[..., Server]
InAnotherProcess = Callable[..., subprocess.Popen[str]]


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


def test_a_first_start_that_was_cut_short_leaves_nothing_that_blocks(
    tmp_path: Path, in_another_process: InAnotherProcess
) -> None:
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


def test_the_server_ends_when_its_starter_is_killed(
    tmp_path: Path, in_another_process: InAnotherProcess
) -> None:
    with in_another_process(STARTER, str(tmp_path / "db")) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    assert gone(pid), "the server outlived the process that started it"


def test_a_server_left_behind_is_ended_by_the_next_start(
    tmp_path: Path, in_another_process: InAnotherProcess
) -> None:
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


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_normal_user_has_a_server_too(
    shared_folder: Path, in_another_process: InAnotherProcess
) -> None:
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


def test_the_lock_dies_with_its_process(
    tmp_path: Path, in_another_process: InAnotherProcess
) -> None:
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
