"""A private server that cannot start says why, in words a person can act on."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localserver.programs import Programs, ServerError, find, initialise
from localserver.server import MYSQL_DEFAULTS, Server

pytestmark = pytest.mark.server

NOBODY = 65534

StartServer = Callable[..., Server]
InAnotherProcess = Callable[..., subprocess.Popen[str]]


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


def test_too_few_files_for_max_connections_is_refused(
    shared_folder: Path, in_another_process: InAnotherProcess
) -> None:
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


def test_a_folder_of_another_user_is_named(
    shared_folder: Path, in_another_process: InAnotherProcess
) -> None:
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
