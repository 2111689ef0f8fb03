"""Requests that are killed or timed out at random moments, and what the others saw of it.

A load of requests in greenlets: one statement, transactions, writes, changed sessions, results
that nobody reads to their end. Each is given a fate beforehand: to end well, to be timed out, to be
killed once or twice (the second time in the middle of its clean-up), to end without telling
anybody. Used by test_faults.py and, with a hundred thousand requests, by ../soak.py.
"""

import gc
import os
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

import gevent
from django.db import connection, transaction
from gevent.event import Event
from gevent.lock import Semaphore
from greenlet import greenlet

from mysql_pool import close_pool, drivers, stats
from packages.mysql_pool.tests.behaviour.scene import DRIVER, end_request, eventually, run

TABLE = """
    CREATE TABLE IF NOT EXISTS pair (
        number INT, half INT, PRIMARY KEY (number, half)
    ) ENGINE=InnoDB
"""
ROWS = 300  # of the large result: more than one packet, more than one read
LARGE = f"""
    WITH RECURSIVE counter (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counter WHERE i < {ROWS})
    SELECT %s, i, REPEAT('x', 100) FROM counter
"""
CLIENTS = 20  # requests at the same time
PAGE = os.sysconf("SC_PAGE_SIZE")


class WrongAnswerError(Exception):
    """Somebody else's answer, or what somebody else left in the session."""


@dataclass
class Load:
    """Runs requests and counts; ``seed`` decides what each does and when it is interrupted."""

    seed: int
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    """Requests by the way they ended, "answered" left out; exceptions by their text."""

    def __post_init__(self):
        self._dice = random.Random(self.seed)
        self._number = 0
        self._seats = Semaphore(CLIENTS)
        self._stored: set[int] = set()
        self._greenlets = WeakSet()
        run(TABLE)
        end_request()

    def requests(self, number: int) -> None:
        """Run so many requests to their ends, and see that writes were done whole or not at all."""
        running = set()
        for _ in range(number):
            self._seats.acquire()
            self._number += 1
            work, fate, delay, pause = self._plan()
            one = gevent.spawn(self._request, self._number, work, fate, delay, pause)
            running.add(one)
            self._greenlets.add(one)
            one.link(running.discard)
            one.link(self._free_seat)
            moments = {"killed": [delay], "killed twice": [delay, delay + pause]}.get(fate, [])
            for moment in moments:
                killer = gevent.spawn_later(moment, one.kill, block=False)
                running.add(killer)  # it holds the request, maybe longer than that runs
                killer.link(running.discard)
        gevent.joinall(list(running))
        try:
            self._check_writes()
        except Exception as error:  # it may be the one that gets a stranger's answer
            self.wrong.append(f"the check of the writes: {error!r}")

    def kept(self) -> int:
        """How many requests have ended and are in memory still, with their stacks."""
        gc.collect()
        return len(self._greenlets)

    def _free_seat(self, ended) -> None:
        self._seats.release()
        if isinstance(ended.value, gevent.GreenletExit):  # maybe before its first line
            self.ended["killed"] += 1

    def _plan(self):
        """All dice are thrown here: a seed gives the same requests, whoever runs first."""
        dice = self._dice
        (work,) = dice.choices(
            (self._one, self._two, self._write, self._state, self._large, self._half_read),
            (40, 20, 15, 10, 10, 5),
        )
        (fate,) = dice.choices(
            ("well", "timed out", "killed", "killed twice", "forgotten"), (50, 20, 20, 8, 2)
        )
        # Few statements are slow enough to be killed at the server; many would only cost time.
        pause = dice.random() * (0.2 if dice.random() < 0.03 else 0.002)
        return work, fate, dice.random() ** 2 * 0.06, pause

    def _request(self, number, work, fate, delay, pause):
        try:
            if fate == "timed out":
                with gevent.Timeout(delay):
                    work(number, pause)
            else:
                work(number, pause)
            self.answered += 1
        except gevent.Timeout:
            self.ended["timed out"] += 1
        except WrongAnswerError as error:
            self.wrong.append(str(error))
        except Exception as error:
            self.ended[f"{type(error).__name__}: {error}"] += 1
        finally:
            if fate != "forgotten":
                end_request()

    # -- what requests do ------------------------------------------------------------------

    def _one(self, number, pause):
        self._same(number, run("SELECT %s, SLEEP(%s)", [number, pause]))

    def _two(self, number, pause):
        with transaction.atomic():
            run("SELECT 0")
            gevent.sleep(pause)
            self._same(number, run("SELECT %s, SLEEP(%s)", [number, pause]))

    def _write(self, number, pause):
        with transaction.atomic():
            run("INSERT INTO pair VALUES (%s, 1)", [number])
            gevent.sleep(pause)
            run("INSERT INTO pair VALUES (%s, 2)", [number])
        self._stored.add(number)

    def _state(self, number, pause):
        (left,) = run("SELECT @soak")[0]
        if left is not None:
            raise WrongAnswerError(f"{number} found the session of {left}")
        run("SET @soak = %s", [number])
        self._same(number, run("SELECT @soak, SLEEP(%s)", [pause]))

    def _large(self, number, pause):
        rows = run(LARGE, [number])
        if len(rows) != ROWS:
            raise WrongAnswerError(f"{number} got {len(rows)} rows of {ROWS}")
        self._same(number, rows)

    def _half_read(self, number, pause):
        with connection.cursor():  # there is a session from here on
            pass
        cursor = connection.connection.cursor(drivers.load(DRIVER).UNBUFFERED_CURSOR)
        cursor.execute(LARGE, [number])
        gevent.sleep(pause)
        self._same(number, cursor.fetchmany(10))

    def _same(self, number, rows):
        for row in rows:
            if row[0] != number:
                raise WrongAnswerError(f"{number} got the answer of {row[0]}")

    def _check_writes(self):
        written = Counter(number for (number,) in run("SELECT number FROM pair"))
        for number, halves in written.items():
            if halves != 2:
                self.wrong.append(f"half of transaction {number} was stored")
        for number in self._stored - written.keys():
            self.wrong.append(f"transaction {number} was committed and is not there")
        run("TRUNCATE pair")
        self._stored.clear()
        end_request()


def lost_slots() -> int:
    """How many of the pool's connections cannot be had at the same time; waits for quiet first."""
    at_rest = ("in_use", "connecting", "closing", "waiting")
    try:
        eventually(lambda: not any(stats()["default"][name] for name in at_rest), 30)
    except AssertionError:
        now = stats()["default"]
        return max(sum(now[name] for name in at_rest), 1)
    bound, holding, enough = stats()["default"]["max_conns"], [], Event()

    def hold():
        with transaction.atomic():
            run("SELECT 1")
            holding.append(1)
            if len(holding) == bound:
                enough.set()
            enough.wait(20)
        end_request()

    gevent.joinall([gevent.spawn(hold) for _ in range(bound)])
    return bound - len(holding)


def left_over() -> dict[str, int]:
    """What this process has, with the pool closed and the garbage collected."""
    close_pool()
    with suppress(AssertionError):  # lost slots stay; see above
        eventually(lambda: stats()["default"]["open"] == 0, 30)
    gevent.sleep(0.1)  # greenlets that have just ended
    gc.collect()
    everything = gc.get_objects()
    # By type(): isinstance() also asks for __class__, which sets up Django's lazy objects.
    greenlets = [one for one in everything if issubclass(type(one), greenlet)]
    return {
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "greenlets": sum(not one.dead for one in greenlets),
        "objects": len(everything),
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE,
    }
