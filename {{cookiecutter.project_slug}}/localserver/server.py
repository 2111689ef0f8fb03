"""`Server`: one private MariaDB or MySQL server in one folder."""

import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from localserver import processes
from localserver.programs import Programs, ServerError, explain, find, initialise

#: `sockaddr_un.sun_path` holds 108 bytes with the final zero (`man 7 unix`).
SOCKET_PATH_LIMIT = 107

#: For sockets whose folder has a longer path.  Not $TMPDIR, which may be long itself and may differ
#: from one terminal to the next.
RUNTIME_FOLDER = Path("/tmp")  # noqa: S108 - see _runtime_folder

#: Files that the smallest server opens in addition to one for each connection: data, logs, tables.
FILES_BESIDE_CONNECTIONS = 60

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 30.0  # seconds
LOG_LIMIT = 1_000_000  # bytes; then the log starts anew beside the old one

#: What differs from the server's defaults, and from production, and why.
DEFAULTS = {
    "character_set_server": "utf8mb4",
    "skip_name_resolve": "ON",  # accounts name no hosts, and a development machine may have no DNS
    "innodb_log_file_size": "16M",  # less to create at the first start and to read after a crash
    # Commits survive a crash of the server, not a power cut: several times the commits per second
    # on a laptop's disk.  The Ansible role leaves the server's safe default of 1.
    "innodb_flush_log_at_trx_commit": "2",
}
MYSQL_DEFAULTS = {
    "mysqlx": "OFF",
    "performance_schema": "OFF",  # saves some 200 MB; MariaDB has it off anyway
    "disable_log_bin": None,
    "secure_file_priv": "NULL",  # its default is a folder that mysql-server-core does not bring
}


class AlreadyRunning(ServerError):
    """Another process of yours runs the server of this folder."""


class Server:
    """A database server whose data, socket and log live in ``folder``.

    ``options`` are mysqld options by name (``{"max_connections": "151"}``; a value of None is a
    flag) and win over `DEFAULTS`.  ``flavour`` is ``"mariadb"``, ``"mysql"`` or ``"auto"``.  With
    ``tcp`` it also listens on 127.0.0.1, on a free port that it keeps over restarts.

    The server ends with the thread that called `start`.  One process at a time may have the server
    of a folder; a server that a crashed process left behind is ended by the next `start`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        options: Mapping[str, object] | None = None,
        flavour: str = "auto",
        *,
        tcp: bool = False,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.options = dict(options or {})
        self.flavour = flavour
        self.tcp = tcp
        self.port: int | None = None
        self.datadir = self.folder / "data"
        self.log = self.folder / "server.log"
        self._user = pwd.getpwuid(os.geteuid()).pw_name
        self._programs: Programs | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # -- life ------------------------------------------------------------------------------------

    @property
    def programs(self) -> Programs:
        """The installed programs in use.  Raises `ServerError` if there are none."""
        if self._programs is None:
            self._programs = find(self.flavour)
        return self._programs

    @property
    def socket(self) -> str:
        """Path of the Unix socket: in the folder, or in a short runtime folder if that is too long.

        The same for every process that asks, so that a second terminal finds the server.
        """
        path = self.folder / "server.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            return str(path)
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return str(_runtime_folder() / f"{name}.sock")

    @property
    def pid(self) -> int | None:
        """The process id of the folder's server, whoever started it; None if it does not run."""
        if self._process and self._process.poll() is None:
            return self._process.pid
        return processes.running_on(self.datadir)

    @property
    def administrator(self) -> str:
        """The database account that may do everything: over the socket only, without a password."""
        return self._user if self.programs.flavour == "mariadb" else "root"

    def start(self) -> None:
        """Start the server and return once it answers; does nothing if this object runs it already.

        Creates the folder and the system database the first time.  Raises `AlreadyRunning`, or
        `ServerError` with the reason and the end of the server's log.
        """
        if self._process and self._process.poll() is None:
            return
        programs = self.programs
        self._lock_folder()
        try:
            self._end_leftover()
            if not self.datadir.exists():
                self._create_data(programs)
            self._launch(programs)
            self._check_limits()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server, which writes what it holds in memory first, and unlock the folder."""
        try:
            if self._process:
                self._process.terminate()
                try:
                    self._process.wait(STOP_TIMEOUT)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
        finally:
            self._unlock_folder()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL).  `start` brings it back with its data."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self._unlock_folder()

    def restart(self) -> None:
        """Stop and start; socket, port and data stay what they were."""
        self.stop()
        self.start()

    def _unlock_folder(self) -> None:
        self._process = None
        if self._lock is not None:
            os.close(self._lock)  # ends the flock
            self._lock = None

    def _lock_folder(self) -> None:
        """Create the folder and lock it: two processes that start at once cannot both have it."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServerError(
                f"The private database server needs a folder it can write to, and {self.folder} "
                f"is not one: {error.strerror} ({error.filename}). Run it as {self._owner()}, or "
                "set LOCALSERVER_DIR to another folder."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode().strip() or "unknown"
            os.close(lock)
            raise AlreadyRunning(
                f"The database server of {self.folder} is already in use by process {holder}. "
                "Stop that one first (Ctrl-C there), or work beside it: `make manage`."
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def _owner(self) -> str:
        """The user who owns the folder, or the nearest folder above it that exists."""
        for folder in (self.folder, *self.folder.parents):
            with contextlib.suppress(OSError, KeyError):
                return pwd.getpwuid(folder.stat().st_uid).pw_name
        return "its owner"

    def _end_leftover(self) -> None:
        """End a server that outlived its starter, and remove the files a crash left behind."""
        if pid := processes.running_on(self.datadir):
            end_process(pid)
        sock = Path(self.socket)
        # MySQL refuses to start if its socket's .lock file names a living process, any process.
        for stale in (sock, sock.with_name(sock.name + ".lock"), self.folder / "server.pid"):
            stale.unlink(missing_ok=True)

    def _create_data(self, programs: Programs) -> None:
        # Created under another name, then renamed: a first start that is interrupted leaves no
        # folder that looks complete.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        try:
            initialise(programs, fresh, user=self._user, log=self.log)
            fresh.rename(self.datadir)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _launch(self, programs: Programs) -> None:
        options: dict[str, object] = {
            **DEFAULTS,
            **(MYSQL_DEFAULTS if programs.flavour == "mysql" else {}),
            **self._network(),
            **self.options,
        }
        if programs.flavour == "mysql" and "innodb_log_file_size" not in self.options:
            options["innodb_redo_log_capacity"] = options.pop("innodb_log_file_size")
        # MariaDB deletes every #sql… file in its tmpdir when it starts: in a shared one those of
        # other servers that are running.
        temporary = self.folder / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
        command = [
            programs.server,
            "--no-defaults",
            f"--user={self._user}",
            f"--tmpdir={temporary}",
            f"--datadir={self.datadir}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'server.pid'}",
            *(
                f"--{name}" if value is None else f"--{name}={value}"
                for name, value in options.items()
            ),
        ]
        main_thread = threading.current_thread() is threading.main_thread()
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.old"))
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                # A session of its own: Ctrl-C in the terminal must reach Gunicorn, not the server
                # that Gunicorn's last requests still need.
                start_new_session=True,
                preexec_fn=processes.child_setup(  # noqa: PLW1509 - no threads of ours at that time
                    die_with_parent=main_thread, raise_file_limit=True
                ),
            )
        self._wait_until_ready()

    def _network(self) -> dict[str, object]:
        if not self.tcp:
            return {"skip_networking": "ON"}
        self.port = self.port or free_port()
        return {"port": self.port, "bind_address": "127.0.0.1"}

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
                raise ServerError(
                    explain(f"ended at once (exit {self._process.returncode})", self.log)
                )
            if answers(self.socket):
                return
        raise ServerError(explain(f"did not answer within {START_TIMEOUT:.0f} s", self.log))

    def _check_limits(self) -> None:
        """With too few files MySQL lowers max_connections and MariaDB fails later."""
        asked = self.options.get("max_connections")
        if asked is None:
            return
        connections, files = map(int, self.sql("SELECT @@max_connections, @@open_files_limit")[0])
        if connections < int(str(asked)) or files < connections + FILES_BESIDE_CONNECTIONS:
            raise ServerError(
                f"The private database server cannot hold max_connections = {asked}: it may open "
                f"only {files} files. Raise the limit (`ulimit -Hn`) or lower max_connections in "
                "budget.toml."
            )

    # -- SQL as the administrator ----------------------------------------------------------------

    def sql(self, statement: str, database: str = "") -> list[list[str]]:
        """Run ``statement`` (or several, with semicolons) as the administrator; return the rows.

        Values arrive as text, NULL as ``"NULL"``.  Uses one short connection, for which the server
        keeps a slot beyond max_connections.  Raises `ServerError` with the server's message.
        """
        command = [
            self.programs.client,
            "--no-defaults",
            f"--socket={self.socket}",
            f"--user={self.administrator}",
            "--batch",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
            *([database] if database else []),
        ]
        # Through standard input: arguments, and passwords in them, are readable by every user.
        done = subprocess.run(command, input=statement, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerError(
                f"{done.stderr.strip()}\nin: {statement.split('IDENTIFIED')[0][:200]}"
            )
        return [[_unescape(v) for v in line.split("\t")] for line in done.stdout.splitlines()]

    def ensure_database(self, name: str) -> None:
        """Create the database ``name`` (utf8mb4) unless it is there."""
        self.sql(f"CREATE DATABASE IF NOT EXISTS {_identifier(name)} CHARACTER SET utf8mb4")

    def ensure_account(
        self,
        user: str,
        password: str,
        database: str,
        max_user_connections: int = 0,
        privileges: str = "ALL",
    ) -> None:
        """Create or correct the account ``user``: password, limit and rights as given, no others.

        ``database`` may hold ``%``, for the databases a test runner creates.
        ``max_user_connections`` is the number of connections the server lets it hold at once, 0 is
        no limit.  ``privileges`` is a list for GRANT.
        """
        # '%' covers the socket and TCP alike, so both count against one limit.
        account = f"{_literal(user)}@'%'"
        pattern = database.replace("\\", "\\\\").replace("_", "\\_")
        self.sql(
            f"CREATE USER IF NOT EXISTS {account};"
            f"ALTER USER {account} IDENTIFIED BY {_literal(password)}"
            f" WITH MAX_USER_CONNECTIONS {int(max_user_connections)};"
            f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account};"
            f"GRANT {privileges} ON {_identifier(pattern)}.* TO {account};"
        )


# -- processes, files and SQL that Server uses ----------------------------------------------------


def answers(path: str) -> bool:
    """Whether a database server listens on the Unix socket ``path`` and sends its greeting."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
            return bool(probe.recv(1))
        except OSError:
            return False


def free_port() -> int:
    """A TCP port on 127.0.0.1 on which no process listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_process(pid: int, timeout: float = STOP_TIMEOUT) -> None:
    """End the process ``pid``, not a child of ours: SIGTERM, then SIGKILL after ``timeout`` s."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise ServerError(
                f"A database server of another user still runs on this folder (process {pid}). "
                "Its owner, or root, has to stop it."
            ) from error
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not Path(f"/proc/{pid}/cmdline").exists() or _is_zombie(pid):
                return
            time.sleep(0.02)  # wait() works for children only
    raise ServerError(f"The database server (process {pid}) does not end, not even by SIGKILL.")


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def _runtime_folder() -> Path:
    """A short folder that only this user can enter, made on first use."""
    folder = RUNTIME_FOLDER / f"localserver-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    # /tmp is everybody's: a folder that somebody else prepared there would hand them the socket.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ServerError(f"{folder} must be a folder of yours with mode 0700; remove it.")
    return folder


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _unescape(value: str) -> str:
    if "\\" not in value:
        return value
    parts = value.split("\\\\")
    return "\\".join(
        p.replace("\\t", "\t").replace("\\n", "\n").replace("\\0", "\0") for p in parts
    )
