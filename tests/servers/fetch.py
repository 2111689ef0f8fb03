"""Brings a server's programs from another Debian release into a folder, installing nothing.

Debian 12 and 13 have no MySQL, and Debian 12 an older MariaDB. Needs root (mmdebstrap unpacks
packages as root owns them), mmdebstrap and patchelf.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.machines.image import apt_options, apt_sources
from tests.lab.machines.shell import run, write

TOOLS = ("mmdebstrap", "patchelf")
CACHE = Path(__file__).parents[2] / ".servers"


@dataclass(frozen=True)
class Server:
    """``packages`` of Debian's ``suite``, and the programs in them that localserver starts."""

    suite: str
    packages: tuple[str, ...]
    daemon: str
    client: str
    script: str | None = None
    """A shell script that starts the daemon, and has to be told where it is too."""


SERVERS = {
    "mysql": Server("sid", ("mysql-server-core", "mysql-client-core"), "mysqld", "mysql"),
    "mariadb": Server(
        "trixie",
        ("mariadb-server-core", "mariadb-client-core"),
        "mariadbd",
        "mariadb",
        "mariadb-install-db",
    ),
}


def programs(name: str) -> Path:
    """The folder for ``LOCALSERVER_BIN``; unpacked on first use, 10 to 20 seconds.

    Raises `CalledProcessError` when the packages cannot be had.
    """
    server = SERVERS[name]
    root = CACHE / name
    if not root.exists():
        new = CACHE / f"{name}.new"
        shutil.rmtree(new, ignore_errors=True)
        CACHE.mkdir(exist_ok=True)
        _unpack(server, new)
        new.rename(root)  # what was interrupted is never taken for a server
    # Not kept: the paths in them are those of this folder, which may be moved.
    _start_with_own_library(root)
    folder = root / "programs"
    shutil.rmtree(folder, ignore_errors=True)
    for program, options in _wrapped(server, root):
        write(folder / Path(program).name, f'#!/bin/sh\nexec "{program}" "$@" {options}\n', 0o755)
    return folder


def _unpack(server: Server, folder: Path) -> None:
    run(
        *("mmdebstrap", "--mode=root", "--variant=extract", "--quiet"),
        *(f"--aptopt={option}" for option in apt_options()),
        *(f"--include={','.join(server.packages)}", server.suite, folder),
        *apt_sources(server.suite),
    )


def _start_with_own_library(root: Path) -> None:
    """Let the programs load the C library they were built for: this machine's may be older."""
    (loader,) = root.glob("usr/lib/*/ld-linux-*.so.*")
    for program in [*root.glob("usr/sbin/*"), *root.glob("usr/bin/*")]:
        if program.is_symlink() or not program.is_file():
            continue
        with program.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        run(
            *("patchelf", "--set-interpreter", loader, "--force-rpath"),
            *("--set-rpath", loader.parent, program),
        )


def _wrapped(server: Server, root: Path) -> Iterator[tuple[Path, str]]:
    """Each program with the options that tell it where its files are."""
    usr = root / "usr"
    (plugins,) = [*usr.glob("lib/mysql/plugin"), *usr.glob("lib/*/*/plugin")]
    basedir = f'--basedir="{usr}"'
    places = (
        f'{basedir} --plugin-dir="{plugins}" --lc-messages-dir="{usr}/share/mysql" '
        f'--character-sets-dir="{usr}/share/mysql/charsets"'
    )
    yield usr / "sbin" / server.daemon, places
    yield usr / "bin" / server.client, ""
    if server.script:
        yield usr / "bin" / server.script, basedir
