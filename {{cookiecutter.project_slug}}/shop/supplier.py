"""Stands for something slow outside the database: a supplier's price service."""

import socket
from contextlib import suppress


def wait_for_supplier(seconds: float) -> None:
    """Wait for an answer on a real socket; none comes, and the wait ends after `seconds`.

    A datagram socket that nobody knows of: no other program is needed, and gevent lets other
    requests run meanwhile, as it does for a real service.
    """
    if seconds <= 0:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as supplier:
        supplier.bind(("127.0.0.1", 0))
        supplier.settimeout(seconds)
        with suppress(TimeoutError):
            supplier.recv(1)
