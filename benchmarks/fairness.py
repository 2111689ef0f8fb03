"""Does the unluckiest client get as much as the others? wrk does not tell its clients apart.

One process and one thread with raw sockets and epoll, because it must cost less than the server.
"""

import re
import select
import socket
import statistics
import time
from dataclasses import dataclass

CLIENTS = 100
SECONDS = 5.0


@dataclass(frozen=True)
class Seen:
    unluckiest: float
    """Requests of the client with the fewest, as a part of the median client's."""
    slowest_first: float
    """Seconds until the last client had its first answer."""
    requests: int


class Client:
    """One keep-alive connection that always waits for one answer."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.address, self.request = address, request
        self.answers = 0
        self.first: float | None = None
        self.received = b""
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(self.address)
        self.socket.setblocking(False)
        self.socket.send(self.request)

    def on_readable(self) -> bool:
        """Read; True when an answer is complete. Connects anew if the server has closed."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.socket.close()
            self.received = b""
            self.connect()
            return False
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if not end or (length and len(body) < int(length[1])):
            return False
        self.received = b""
        if b"onnection: close" not in head:
            self.socket.send(self.request)
        return True


def measure(
    host: str, port: int, path: str, *, clients: int = CLIENTS, seconds: float = SECONDS
) -> Seen:
    """Let ``clients`` start together and ask for ``path`` as fast as each is answered."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    begun = time.monotonic()
    everybody = [Client((host, port), request) for _ in range(clients)]
    poll = select.epoll()
    by_number = {}

    def watch(client: Client) -> None:
        by_number[client.socket.fileno()] = client
        poll.register(client.socket, select.EPOLLIN)

    for client in everybody:
        watch(client)
    try:
        while (now := time.monotonic()) < begun + seconds:
            for number, _ in poll.poll(0.1):
                client, known = by_number[number], by_number[number].socket
                if client.on_readable():
                    client.answers += 1
                    client.first = client.first or now - begun
                if client.socket is not known:  # closing it has taken it out of epoll
                    watch(client)
    finally:
        poll.close()
        for client in everybody:
            client.socket.close()
    counts = [client.answers for client in everybody]
    return Seen(
        unluckiest=min(counts) / (statistics.median(counts) or 1),
        slowest_first=max(c.first if c.first is not None else seconds for c in everybody),
        requests=sum(counts),
    )
