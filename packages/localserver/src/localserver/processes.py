"""What Linux knows about processes: who still runs on a folder, and tying a child to its parent."""

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_libc = ctypes.CDLL(None, use_errno=True)  # loaded here: between fork and exec it is too late


def running_on(datadir: Path) -> int | None:
    """Return the process id of the database server that was started on ``datadir``, or None.

    Looks at the processes, not at a pid file: a pid file survives a crash, and then names nobody or
    a stranger.
    """
    wanted = os.fsencode(f"--datadir={datadir}")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # ended meanwhile, or hidden from us
                continue
            if wanted in arguments:
                return int(entry.name)
    return None


def child_setup(*, die_with_parent: bool, raise_file_limit: bool = False) -> Callable[[], None]:
    """Return what a child does between fork and exec (`subprocess.Popen`'s ``preexec_fn``).

    ``die_with_parent``: the kernel sends it SIGTERM when the starting *thread* ends, however it
    ends, so that a parent killed with SIGKILL leaves no server behind.
    ``raise_file_limit``: lift the soft limit of open files to the hard one; a server that may open
    few files lowers its max_connections without an error.
    """
    parent = os.getpid()

    def setup() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if raise_file_limit:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if die_with_parent:
            _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above
                os.kill(os.getpid(), signal.SIGTERM)

    return setup
