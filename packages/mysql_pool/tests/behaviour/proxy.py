"""A TCP proxy in front of servers, in a process of its own: the address that does not change when
the server behind it does, or that lets its clients wait.

It does what its standard input says, a word and its arguments a line, and answers each line.
"""

import asyncio
import subprocess
import sys


class Proxy:
    """Leads to ``sockets`` (paths of Unix sockets) in turn. ``port`` is on 127.0.0.1."""

    def __init__(self, *sockets):
        self._process = subprocess.Popen(
            [sys.executable, __file__, *map(str, sockets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._process.stdout.readline())

    def lead_to(self, *sockets):
        """New connections go there."""
        self._tell("lead_to", *map(str, sockets))

    def hold(self):
        """New connections are accepted, and wait for ``go``."""
        self._tell("hold")

    def go(self):
        """Those that wait go on."""
        self._tell("go")

    @property
    def connections(self):
        """How many were accepted so far."""
        return int(self._tell("connections"))

    def close(self):
        self._process.communicate()

    def _tell(self, *words):
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


class Relay:
    """What runs in the other process."""

    def __init__(self, sockets):
        self.sockets = sockets
        self.accepted = 0
        self.open = asyncio.Event()
        self.open.set()

    async def client(self, reader, writer):
        socket = self.sockets[self.accepted % len(self.sockets)]
        self.accepted += 1
        await self.open.wait()
        try:
            answers, questions = await asyncio.open_unix_connection(socket)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.pipe(reader, questions), self.pipe(answers, writer))
        writer.close()
        questions.close()

    async def pipe(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.close()

    def told(self, word, *arguments):
        if word == "lead_to":
            self.sockets = arguments
        elif word == "hold":
            self.open.clear()
        elif word == "go":
            self.open.set()
        return self.accepted


async def main():
    relay = Relay(sys.argv[1:])
    listening = await asyncio.start_server(relay.client, "127.0.0.1", 0, backlog=512)
    print(listening.sockets[0].getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await lines.readline():
        print(relay.told(*line.decode().split()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
