"""The length of the queue in which clients wait until a worker takes them.

Not for its size, which is the setting `backlog`.
"""

import contextlib

from gunicorn.arbiter import Arbiter


def put_in_force(server: Arbiter) -> None:
    """Give the sockets that were open before this start or reload the backlog of the settings.

    Gunicorn does that only for those it opens itself. Without it, one that systemd holds, or that
    outlives a reload, would have to be closed for a new length, and refuse clients meanwhile.
    """
    for listener in server.LISTENERS:
        with contextlib.suppress(OSError):  # SELinux may not let a service listen() on its socket
            listener.listen(server.cfg.backlog)
