"""A server on the other side of a network that loses packets: some of them, or all.

The packets of one TCP port of this machine are dropped by nftables, in a table that belongs to the
process that made it (`flags owner`): the kernel removes it with that process, however it ends.
"""

import os
import shutil
import subprocess
import threading
import time

import pytest
from django.db import OperationalError, connections

from mysql_pool import stats
from packages.mysql_pool.tests.behaviour.scene import (
    Threads,
    end_request,
    eventually,
    run,
    whole_again,
)

BOUND = 5


class Network:
    """What happens to the packets from and to one port of this machine."""

    def __init__(self, port):
        self._table = f"inet mysql_pool_test_{port}"
        self._port = port
        self._nft = subprocess.Popen(
            ["nft", "-i"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._rule = ""
        self._tell(f"add table {self._table} {{ flags owner; }}")
        self._tell(f"add chain {self._table} in {{ type filter hook input priority 0; }}")

    def lose(self, what):
        """Drop what matches, ``tcp dport`` and ``tcp sport`` alike."""
        for side in ("dport", "sport"):
            self._tell(f"add rule {self._table} in tcp {side} {self._port} {what} drop")
        eventually(lambda: self.rules().count("drop") == 2)

    def heal(self):
        """Nothing is dropped any more."""
        self._tell(f"flush chain {self._table} in")
        eventually(lambda: "drop" not in self.rules())

    def rules(self):
        """What the kernel says is in force."""
        listed = subprocess.run(
            ["nft", "list", "table", *self._table.split()],
            capture_output=True,
            text=True,
            check=False,
        )
        return listed.stdout

    def close(self):
        """End the process, and with it the table; returns what it said."""
        said = self._nft.communicate()[0]
        eventually(lambda: not self.rules())
        return said

    def _tell(self, command):
        self._nft.stdin.write(command + "\n")
        self._nft.stdin.flush()


@pytest.fixture
def network(server):
    if os.geteuid() or not shutil.which("nft"):
        pytest.skip("drops packets: needs root and nft (apt-get install nftables)")
    network = Network(server.port)
    try:
        eventually(lambda: "hook input" in network.rules(), 5)
    except AssertionError:
        pytest.skip(f"this kernel lets nobody drop packets: {network.close()}")
    yield network
    network.close()


@pytest.fixture
def use_tcp(use, server):
    def use_tcp(**options):
        use(MAX_CONNS=BOUND, **options)
        connections.databases["default"]["HOST"] = "127.0.0.1"
        connections.databases["default"]["PORT"] = str(server.port)

    yield use_tcp
    connections.databases["default"]["PORT"] = ""


def request(number):
    """A request that says whose answer it got: its own, none, or (which must not be) another."""
    try:
        answer = run("SELECT %s, REPEAT('x', 5000)", [number])[0][0]
    except OperationalError:
        answer = None
    end_request()
    return number, answer


def test_some_packets_lost_cost_time_and_nothing_else(use_tcp, seen, network):
    use_tcp(POOL_TIMEOUT=100)
    seen.forget_peak()
    network.lose("numgen random mod 100 < 10")
    clients = Threads(20, lambda client: [request(client * 100 + i) for i in range(10)]).join()
    assert clients.errors == []
    answers = [pair for client in clients for pair in client]
    assert len(answers) == 200
    assert [(number, answer) for number, answer in answers if number != answer] == []
    network.heal()
    whole_again(BOUND)
    assert seen.peak() <= BOUND


def test_all_packets_lost_is_an_error_for_who_waits_and_heals(use_tcp, seen, network, monkeypatch):
    # A slot that is given up while the server is silent may be one too many when it heals.
    monkeypatch.setattr("mysql_pool.closing.SILENT", 600)
    use_tcp(POOL_TIMEOUT=2, connect_timeout=5, read_timeout=5)
    seen.forget_peak()
    stop = threading.Event()
    latest: dict[int, int | None] = {}

    def client(number):
        answers = []
        while not stop.is_set():
            answers.append(request(number))
            latest[number] = answers[-1][1]
            time.sleep(0.01)
        return answers

    clients = Threads(20, client)
    right, nothing = {number: number for number in range(20)}, dict.fromkeys(range(20))

    def all_are_open():
        # A connect that the cut interrupts would be known to the server only.
        now = stats()["default"]
        return now["open"] == BOUND and not now["connecting"] and not now["closing"]

    # Each of these lasts until the network changes.
    try:
        eventually(lambda: latest == right and all_are_open(), 60)
        network.lose("")
        eventually(lambda: latest == nothing, 60)
        network.heal()
        eventually(lambda: latest == right, 60)
    finally:
        stop.set()
    assert clients.join().errors == []
    answers = [pair for client in clients for pair in client]
    assert [pair for pair in answers if pair[1] not in (None, pair[0])] == []
    whole_again(BOUND)
    assert seen.peak() <= BOUND


def test_a_server_that_is_gone_for_good_does_not_keep_the_slots(
    use_tcp, seen, network, monkeypatch
):
    monkeypatch.setattr("mysql_pool.drivers.UNREACHABLE", 2)
    use_tcp(POOL_TIMEOUT=1, connect_timeout=1, read_timeout=1)
    seen.forget_peak()
    Threads(BOUND, lambda number: run("SELECT SLEEP(0.05)")).join()
    end_request()
    network.lose("")
    assert len(Threads(BOUND, lambda number: run("SELECT 1")).join().errors) == BOUND
    eventually(lambda: stats()["default"]["open"] == 0)
    network.heal()
    seen.kill_all()  # it was not gone for good, only for this test
    whole_again(BOUND)


def test_a_result_cut_in_the_middle_is_an_error_and_not_for_ever(use_tcp, seen, network):
    use_tcp(connect_timeout=1, read_timeout=1)
    run("SELECT 1")
    end_request()
    network.lose("quota over 200 kbytes")  # of each direction
    with pytest.raises(OperationalError):
        run("SELECT REPEAT('x', 2000000)")
    end_request()
    network.heal()
    eventually(lambda: seen.running("REPEAT") == 0, 60)
    whole_again(BOUND)
