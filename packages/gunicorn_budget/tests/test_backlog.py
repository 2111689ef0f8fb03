"""The queue of clients that no worker has taken yet."""

import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from packages.gunicorn_budget.tests.examples import HOOKS
from packages.gunicorn_budget.tests.gunicorns import Gunicorn


def length_of(listening: socket.socket) -> int:
    """The length of a socket's accept queue, as `ss -l` shows it in Send-Q."""
    # tcpi_sacked of struct tcp_info (linux/tcp.h), which means this for a socket that listens
    information = listening.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 32)
    return int(struct.unpack_from("I", information, 28)[0])


def test_a_socket_that_gunicorn_is_given_gets_the_settings_at_start_and_reload(
    gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as held:
        server = gunicorn(
            HOOKS + "backlog = 70\n", "--bind", f"fd://{held.fileno()}", pass_fds=[held.fileno()]
        )
        server.until(lambda: length_of(held) == 70)
        settings = tmp_path / "gunicorn.conf.py"
        settings.write_text(settings.read_text() + "backlog = 71\n")
        server.signal(signal.SIGHUP)
        server.until(lambda: length_of(held) == 71)
