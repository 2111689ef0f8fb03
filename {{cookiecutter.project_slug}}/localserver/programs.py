"""Finds the database server's programs on this machine; says how to install them when missing."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Debian keeps servers out of a normal user's PATH; the others are where vendors' packages go.
EXTRA_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin")

#: The packages that hold the bare programs.  `mariadb-server` would also create /var/lib/mysql and
#: start a system service, which nothing here needs.
INSTALL = {
    "mariadb": "apt-get install --no-install-recommends mariadb-server-core mariadb-client-core",
    "mysql": "apt-get install --no-install-recommends mysql-server-core mysql-client-core",
}

#: What a line of the server's log means, and what to do. The first pattern that is found counts.
HINTS = (
    (r"(?i)no space left|errno:? 28|error 28|out of disk space", "The disk is full (`df -h .`)."),
    (r"(?i)read-only file system|errno:? 30\b", "The disk is mounted read-only."),
    (r"(?i)address already in use", "The TCP port is taken by another program."),
    (
        r"(?i)unable to lock|could not lock|lock the first data file",
        "Another server, perhaps in a container, has this folder open.",
    ),
    (
        r"(?i)permission denied|errno:? 13\b",
        "It may not write there. Check the folder's owner; on Ubuntu also AppArmor "
        "(`aa-status | grep mysqld`).",
    ),
    (
        r"(?i)unknown (variable|option)",
        "One of the server options in use is not known to this version.",
    ),
    (
        r"(?i)upgrade after a crash|downgrade|invalid flags|log was created with",
        "The data was written by another version; `make clean` starts afresh.",
    ),
)


class ServerError(RuntimeError):
    """Something about the private server went wrong; the text says what, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Where one installed server's programs are."""

    flavour: str
    """``"mariadb"`` or ``"mysql"``."""
    version: tuple[int, ...]
    """For example ``(10, 11, 19)``."""
    server: str
    client: str
    install_db: str | None
    """MariaDB's ``mariadb-install-db``; MySQL's server initialises a folder itself."""

    @property
    def name(self) -> str:
        """For people: ``"MariaDB 10.11.19"``."""
        product = {"mariadb": "MariaDB", "mysql": "MySQL"}[self.flavour]
        return f"{product} {'.'.join(map(str, self.version))}"


def find(flavour: str = "auto") -> Programs:
    """Return the installed server's programs.

    ``flavour`` is ``"mariadb"``, ``"mysql"`` or ``"auto"`` (whichever is there, MariaDB first).
    The folder named by the environment variable ``LOCALSERVER_BIN`` is looked at before PATH.
    Raises `ServerError` with the one command that installs what is missing.
    """
    if flavour not in ("auto", *INSTALL):
        raise ServerError(f"flavour is {flavour!r}: it must be 'auto', 'mariadb' or 'mysql'.")
    wanted = tuple(INSTALL) if flavour == "auto" else (flavour,)
    for server in _servers():
        found, version = _version(server)
        if found in wanted:
            return Programs(
                flavour=found,
                version=version,
                server=server,
                client=_need(found, found, "mysql"),
                install_db=(
                    _need(found, "mariadb-install-db", "mysql_install_db")
                    if found == "mariadb"
                    else None
                ),
            )
    raise ServerError(_missing(wanted[0], "server"))


def _servers() -> Iterator[str]:
    """The servers to try, best first."""
    for path in _paths():
        # Debian's MariaDB answers to `mysqld` as well, so the name alone does not tell the flavour.
        for name in ("mariadbd", "mysqld"):
            if server := shutil.which(name, path=path):
                yield server


def _paths() -> Iterator[str]:
    if chosen := os.environ.get("LOCALSERVER_BIN"):
        yield chosen
    yield os.pathsep.join([os.environ.get("PATH", os.defpath), *EXTRA_FOLDERS])


def _need(flavour: str, *names: str) -> str:
    for path in _paths():
        for name in names:
            if program := shutil.which(name, path=path):
                return program
    raise ServerError(_missing(flavour, f"program {names[0]!r}"))


def _missing(flavour: str, what: str) -> str:
    return (
        f"No {flavour} {what} is installed on this machine. Install it with\n\n"
        f"    sudo {INSTALL[flavour]}\n\n"
        "(no system service is started by that), or set DATABASE_URL to a server you already have."
    )


def _version(server: str) -> tuple[str, tuple[int, ...]]:
    done = subprocess.run(
        [server, "--no-defaults", "--version"], capture_output=True, text=True, check=False
    )
    number = re.search(r"Ver (\d+(?:\.\d+)+)", done.stdout)
    if done.returncode or number is None:
        raise ServerError(
            f"{server} --version failed: {(done.stderr or done.stdout).strip() or done.returncode}"
        )
    flavour = "mariadb" if "MariaDB" in done.stdout else "mysql"
    return flavour, tuple(int(part) for part in number[1].split("."))


def initialise(programs: Programs, folder: Path, *, user: str, log: Path) -> None:
    """Fill ``folder`` (absent or empty) with a fresh system database.

    ``user`` is the operating system's account that runs the server; it becomes the database's
    administrator, over the Unix socket only.  Raises `ServerError` with the last lines of ``log``.
    """
    # A small redo log is quicker to create and to check after a crash; this data is small.
    if programs.install_db:
        command = [
            programs.install_db,
            "--no-defaults",
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={user}",
            "--skip-test-db",
            "--skip-name-resolve",
            "--innodb-log-file-size=16M",
        ]
    else:
        # secure-file-priv: Debian's default is a folder that only the package mysql-server makes.
        command = [programs.server, "--no-defaults", "--initialize-insecure", "--skip-log-bin"]
        command.append("--secure-file-priv=NULL")
    with log.open("ab") as output:
        done = subprocess.run(
            # mariadb-install-db, a shell script, cannot take a path with a space in it.
            [*command, f"--user={user}", f"--datadir=./{folder.name}"],
            cwd=folder.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            env={**os.environ, "TMPDIR": str(folder.parent)},
        )
    if done.returncode:
        raise ServerError(explain(f"could not create a database in {folder}", log))


def explain(what: str, log: Path) -> str:
    """Return ``what``, the likely cause, and the lines of the server's own log that tell why."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-100:]
    except OSError as error:
        lines = [f"(cannot be read: {error})"]
    text = "\n".join(lines)
    if is_full(log.parent):
        text += "no space left"  # where not even the log can say so
    hint = next((hint for pattern, hint in HINTS if re.search(pattern, text)), "")
    # Only the errors, where there are any: mariadb-install-db prints a page of advice after them.
    shown = [line for line in lines if re.search(r"\[?ERROR\b", line)] or lines
    return "\n".join(
        [
            f"The private database server {what}. {hint}".rstrip(),
            f"From {log}:",
            *(f"    {line}" for line in shown[-15:]),
        ]
    )


def is_full(folder: Path) -> bool:
    """Whether nothing can be written to the file system of ``folder``."""
    try:
        return shutil.disk_usage(folder).free < 64 * 1024
    except OSError:
        return False
