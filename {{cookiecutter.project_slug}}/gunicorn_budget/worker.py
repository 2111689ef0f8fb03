"""A gevent worker that serves its clients in turn and takes a new one after each request.

    worker_class = "gunicorn_budget.worker.FairGeventWorker"

Not for patching (Gunicorn's GeventWorker does that) and not for other kinds of workers: this is
the only module here that imports gevent, and Gunicorn imports it for the setting above alone.

A greenlet goes on until it has to wait, and client and database are often quicker than it is:
Gunicorn's own worker serves up to a hundred requests of one client while the worker's others wait,
and clients that have no worker yet. Of those it takes one in a turn of gevent's loop, which with
many clients is a long one. More in a turn is no cure: an idle worker would take a whole burst, and
leave the other workers nothing to do.
"""

import socket
from functools import partial
from typing import Any

from gevent import get_hub, getcurrent, sleep
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket as GeventSocket  # noqa: N812 - the name that gevent itself uses
from gunicorn.workers.ggevent import GeventWorker

#: Seconds, for all practical purposes none. Only 0 itself is different: with it gevent runs those
#: who are known to be ready and does not look whose data has arrived.
A_TURN = 1e-9


class FairServer(StreamServer):
    """Accepts clients when gevent's loop finds one waiting, and when `take_one` asks for one."""

    #: Whether the last look found a client; a look that finds none costs a system call.
    more = True

    def do_read(  # type: ignore[override] # gevent's gives None too; its stubs do not know
        self,
    ) -> tuple[GeventSocket, Any] | None:
        """The next client and its address, or None."""
        client: tuple[GeventSocket, Any] | None = super().do_read()
        self.more = client is not None
        return client

    def take_one(self) -> None:
        """Take a client now if one waits and the worker has room for it."""
        if not (self.more and self.started) or self.full():
            return
        try:
            client = self.do_read()
        except OSError:  # gevent's loop meets it too, logs it and tries again after a while
            self.more = False
            return
        if client:
            self.do_handle(*client)

    def close(self) -> None:
        """Stop accepting. A client that was taken and has not begun yet begins first.

        Otherwise its handler would ask the closed socket for its name, and drop the client.
        """
        if getcurrent() is not get_hub():
            self.stop_accepting()
            sleep(0)
        super().close()


class FairGeventWorker(GeventWorker):
    """Gunicorn's gevent worker, in which no client waits for all requests of another."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._servers: list[FairServer] = []

    def server_class(  # type: ignore[override] # the stubs know classes only; Gunicorn calls it
        self, listener: GeventSocket, *, spawn: Pool, ssl_context: Any = None, **_of_pywsgi: object
    ) -> FairServer:
        """Gunicorn's hook for another server, which it calls for each of its sockets.

        Unlike the servers it is meant for, this one leaves HTTP to the worker, as Gunicorn does
        where the hook is not used.
        """
        tls = {} if ssl_context is None else {"ssl_context": ssl_context}
        server = FairServer(listener, handle=partial(self.handle, listener), spawn=spawn, **tls)
        if self.cfg.workers > 1:
            server.max_accept = 1  # as Gunicorn has it, so that each worker gets its part
        self._servers.append(server)
        return server

    def handle_request(self, listener_name: Any, req: Any, sock: GeventSocket, addr: Any) -> bool:
        """Serve one request, then let others go on; at the end of a connection they do anyway."""
        try:
            keeps_open = super().handle_request(listener_name, req, sock, addr)
        finally:  # StopIteration is how Gunicorn ends a connection
            self._take_new_clients()
        sleep(A_TURN)
        return keeps_open

    def handle_http2_request(
        self, listener_name: Any, req: Any, sock: socket.socket, addr: Any, h2_conn: Any
    ) -> None:
        """The same for one of the requests of an HTTP/2 connection."""
        try:
            super().handle_http2_request(listener_name, req, sock, addr, h2_conn)
        finally:
            self._take_new_clients()
        sleep(A_TURN)

    def _take_new_clients(self) -> None:
        if self.alive:  # else the next worker has more time for them
            for server in self._servers:
                server.take_one()
