"""In which order what is measured: rounds, so that a machine that gets slower is nobody's fault.

Each round starts every peer once, in turn, and measures all cells on it; odd rounds go through the
peers backwards. Only numbers of one run are compared.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql

from benchmarks import fairness, load
from benchmarks.peers import BOUND, DATABASE, Peer
from benchmarks.results import Fairness, Measurement, Reloads, Run
from benchmarks.serving import Broken, Serving
from benchmarks.workloads import Cell, host
from demo.observer import Observer
from localserver.server import Server

WARM_UP = 1  # seconds; connections open, code is in the caches
DRAIN_TIMEOUT = 15.0  # seconds that a stopped peer's connections may take to end
QUIET = 0.15  # seconds without a statement: nobody works at a request any more
QUIET_TIMEOUT = 10.0


class Bench:
    """Measures ``peers`` on the running ``server``; the results are in ``run``."""

    def __init__(self, server: Server, python: str, scratch: Path, run: Run) -> None:
        self.server = server
        self.python = python
        self.scratch = scratch
        self.run = run

    def rounds(
        self,
        peers: list[Peer],
        cells: list[Cell],
        *,
        rounds: int,
        seconds: float,
        fair: bool,
        tell: Callable[[str], None],
    ) -> None:
        """Measure every cell on every peer, ``rounds`` times for ``seconds`` each."""
        for number in range(rounds):
            for peer in peers if number % 2 == 0 else reversed(peers):
                if peer.name in self.run.broken:
                    continue
                tell(f"round {number + 1} of {rounds}: {peer.title}")
                try:
                    self.one(peer, cells, number, seconds, fair=fair)
                except Broken as error:
                    tell(f"    broken: {error}")
                    self.run.broken[peer.name] = str(error)

    def one(
        self, peer: Peer, cells: Iterable[Cell], number: int, seconds: float, *, fair: bool
    ) -> None:
        with (
            Observer(self.server, DATABASE) as observer,
            Serving(peer, self.python, self.server.socket, self.scratch / "peer.log") as serving,
        ):
            load.run(serving.url + "/row/", clients=BOUND, seconds=WARM_UP)
            for cell in cells:
                try:
                    serving.probe(cell.workload.path)
                    measured = self.measure(serving, observer, cell, number, seconds)
                except Broken as error:
                    self.run.broken[f"{peer.name} {cell.name}"] = str(error)
                else:
                    self.run.measurements.append(measured)
            if fair and number % 2 == 0:
                seen = fairness.measure("127.0.0.1", serving.port, "/row/")
                self.run.fairness.append(
                    Fairness(peer.name, number, seen.unluckiest, seen.slowest_first, seen.requests)
                )
            observer.check()
        self.drain()

    def reload(self, peer: Peer, times: int, pause: float) -> None:
        """Replace the workers of ``peer`` under load, every ``pause`` seconds."""
        with (
            Observer(self.server, DATABASE, interval=0.005) as observer,
            Serving(peer, self.python, self.server.socket, self.scratch / "peer.log") as serving,
            ThreadPoolExecutor(1) as clients,
        ):
            path = host()[0].workload.path
            seconds = (times + 1) * pause
            load_of_clients = clients.submit(
                load.run, serving.url + path, clients=5 * BOUND, seconds=seconds, keep_alive=False
            )
            for _ in range(times):
                time.sleep(pause)
                serving.reload()
            seen = load_of_clients.result()
            observer.check()
            self.run.reloads.append(
                Reloads(peer.name, times, seen.requests, seen.failed, observer.most, observer.looks)
            )
        self.drain()

    def measure(
        self, serving: Serving, observer: Observer, cell: Cell, number: int, seconds: float
    ) -> Measurement:
        url = serving.url + cell.workload.path
        quiet(observer)
        failures = serving.failures()
        forget_peak(observer)
        counted, used = observer.counts(), serving.cpu()
        seen = load.run(url, clients=cell.clients, seconds=seconds, keep_alive=cell.keep_alive)
        quiet(observer)
        used, counted = serving.cpu() - used, observer.counts() - counted
        # wrk leaves one unanswered request of each client behind; the server works it off too.
        served = seen.requests + cell.clients
        return Measurement(
            peer=serving.peer.name,
            cell=cell.name,
            workload=cell.workload.name,
            clients=cell.clients,
            keep_alive=cell.keep_alive,
            round=number,
            requests=seen.requests,
            per_second=(seen.requests - min(seen.failed, seen.requests)) / seen.seconds,
            p50=seen.p50,
            p99=seen.p99,
            cpu=used / served,
            statements=counted["Questions"] / served,
            connects=counted["Connections"] / served,
            most_connections=max(observer.max_used(), observer.most),
            failed=seen.failed,
            errors=dict((serving.failures() - failures).most_common(3)),
        )

    def drain(self) -> None:
        """Wait until the server has ended the last peer's connections: they are not the next's."""
        deadline = time.monotonic() + DRAIN_TIMEOUT
        while time.monotonic() < deadline:
            users = [row[1] for row in self.server.sql("SHOW PROCESSLIST")]
            if DATABASE not in users:
                return
            time.sleep(0.1)


def forget_peak(observer: Observer) -> None:
    """Max_used_connections starts anew."""
    try:
        observer.query("FLUSH GLOBAL STATUS")  # MariaDB from 11.5 on
    except pymysql.err.ProgrammingError:
        observer.query("FLUSH STATUS")
    observer.most = 0


def quiet(observer: Observer) -> None:
    """Wait until the server works at nothing: what clients have left behind is done."""
    deadline = time.monotonic() + QUIET_TIMEOUT
    before = observer.counts()["Questions"]
    while time.monotonic() < deadline:
        time.sleep(QUIET)
        now = observer.counts()["Questions"]
        if now == before and not observer.busy():
            return
        before = now
