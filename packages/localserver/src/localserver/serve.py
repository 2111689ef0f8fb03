"""What `make run` does once there is a database: migrate, seed, collect static files, serve.

    python -m localserver run -- python -m localserver.serve

Reads PORT (default 8000; the next free port if it is taken) and DB_MIGRATE_USER/_PASSWORD, the
account that may change tables.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping

from localserver import processes

#: Ports that are tried, from PORT on.
PORTS = 50

#: Commands of the project that make an empty database worth looking at, if it has them.
PREPARE = (("migrate", "--verbosity=0"), ("seed",))


def main() -> int:
    text = os.environ.get("PORT") or "8000"
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65535):
        print(f"PORT is {text!r}: it has to be a number from 1 to 65535.", file=sys.stderr)
        return 1
    wanted = int(text)
    migration = {**os.environ}
    if user := os.environ.get("DB_MIGRATE_USER"):
        migration |= {"DB_USER": user, "DB_PASSWORD": os.environ["DB_MIGRATE_PASSWORD"]}
    for command in PREPARE:
        manage(*command, environment=migration)
    manage("collectstatic", "--no-input", "--verbosity=0", environment=os.environ)
    port = next_free_port(wanted)
    if port is None:
        print(
            f"No port from {wanted} to {wanted + PORTS - 1} is free"
            " (those below 1024 are root's). PORT=... chooses another.",
            file=sys.stderr,
        )
        return 1
    if port != wanted:
        print(f"Port {wanted} is taken; using {port} (PORT=... chooses another).", flush=True)
    print(f"\nOpen http://127.0.0.1:{port}/ - Ctrl-C stops everything.\n", flush=True)
    # Ctrl-C would reach the workers too, which Gunicorn's master is about to stop itself; gevent
    # prints a traceback for the second signal. In its own group only the master is told, once.
    os.setpgid(0, 0)
    os.execv(  # noqa: S606 - no shell is wanted
        sys.executable,
        [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", "config.wsgi:application"],
    )


def manage(*arguments: str, environment: Mapping[str, str]) -> None:
    """Run manage.py; a failure ends this program with the same exit code."""
    print(f"manage.py {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment,
        preexec_fn=processes.child_setup(die_with_parent=True),
        check=False,
    )
    if done.returncode:
        sys.exit(done.returncode)


def next_free_port(first: int) -> int | None:
    """The first of `PORTS` ports from ``first`` on that can be listened on at 127.0.0.1."""
    for port in range(first, min(first + PORTS, 65536)):
        with socket.socket() as probe:
            # As Gunicorn does: a port whose last connections are in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                probe.listen()
            except OSError:
                continue
            return port
    return None


if __name__ == "__main__":
    sys.exit(main())
