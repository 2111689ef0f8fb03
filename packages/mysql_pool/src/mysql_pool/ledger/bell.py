"""How the pools of a host wake each other: a datagram socket beside the ledger for each of them.

A message has no content: whoever is woken looks into the ledger. Messages may get lost, because
everybody looks now and then anyway.
"""

import contextlib
import os
import socket

LONGEST_PATH = 100  # bytes; the kernel takes 107


class Bell:
    """One pool's own socket, and the way to those of the others.

    Args:
        path: of the ledger. The sockets lie beside it: ``path`` and the number of a record.
        record: this pool's own.

    Raises ``OSError`` if there can be no socket there.
    """

    def __init__(self, path: str, record: int):
        self._path = path
        self._folder = -1
        if len(os.fsencode(path)) > LONGEST_PATH:  # the same folder by a shorter name
            self._folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
        address = self._address(record)
        try:
            self._mine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            # Of a process that has ended: the record is ours.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)
            self._mine.bind(address)
            os.chmod(address, 0o600)
            self._others = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._others.setblocking(False)
        except OSError:
            self.close()
            raise

    def _address(self, record: int) -> str:
        path = self._path
        if self._folder >= 0:
            path = f"/proc/self/fd/{self._folder}/{os.path.basename(path)}"
        return f"{path}.{record}"

    def wait(self, seconds: float) -> bool:
        """Until somebody rings; at most so long. Returns whether somebody did.

        Raises ``OSError`` if the socket was closed.
        """
        self._mine.settimeout(seconds)
        try:
            self._mine.recv(1)
        except TimeoutError:
            return False
        return True

    def ring(self, record: int) -> None:
        """Wake the pool with this record. Waits for nothing."""
        with contextlib.suppress(OSError):  # it has ended, or is woken already and asleep
            self._others.sendto(b"!", self._address(record))

    def close(self) -> None:
        """Close the sockets. The file stays for the next one with this record."""
        for name in ("_mine", "_others"):
            if hasattr(self, name):
                getattr(self, name).close()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
