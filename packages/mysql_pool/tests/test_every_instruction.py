"""An exception that a signal handler raises, at any instruction of the pool, loses nothing.

The server is fake, so that thousands of runs take seconds.
"""

import dis
import sys
import threading
from contextlib import suppress
from functools import cache

import pytest

from mysql_pool import closing, opening, watching
from mysql_pool.errors import PoolTimeout
from packages.mysql_pool.tests.alone import cannot_start, much_later


class SoftLimitError(Exception):
    """As Celery's SoftTimeLimitExceeded, which a signal handler raises."""


@cache
def instructions(code):
    return {one.offset: one.opname for one in dis.get_instructions(code)}


#: Behind these Python looks whether a signal has come (the "eval breaker").
SIGNALS_ARE_SEEN_AFTER = ("CALL", "RESUME", "JUMP_BACKWARD")


def interrupted(function, number, error):
    """Call ``function`` and raise ``error`` at the ``number``th place, in any function of the pool
    that it calls, where a signal handler could. Returns the place; None if there are not so many.
    """
    left, place = number, None

    def enter(frame, event, arg):
        if "/src/mysql_pool/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        names, previous = instructions(frame.f_code), ""

        def step(frame, event, arg):
            nonlocal left, place, previous
            if event == "opcode":
                before, previous = previous, names.get(frame.f_lasti, "")
                if before.startswith(SIGNALS_ARE_SEEN_AFTER):
                    left -= 1
                    if left == 0:
                        place = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
                        raise error
            return step

        return step

    earlier = sys.gettrace()
    sys.settrace(enter)
    try:
        function()
    except type(error):
        pass
    finally:
        sys.settrace(earlier)
    return place


def is_free(lock):
    """Whether another thread could take the lock."""
    taken = []

    def take():
        if lock.acquire(blocking=False):
            lock.release()
            taken.append(True)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken == [True]


@pytest.fixture(params=[SoftLimitError, KeyboardInterrupt])
def everywhere(request, scene, monkeypatch):
    """``everywhere(prepare)``: ``prepare(scene)`` returns what is interrupted, again and again with
    a new scene, once at each place; afterwards nothing must be lost.

    What is begun in other threads has ended when it is handed back, so that all happens in order.
    """

    def at_once(function, *args):
        thread = threading.Thread(target=function, args=args)
        thread.start()
        thread.join()

    when_waiting = []

    def look_after(function, *args):
        if function.__name__ == "_watch_waiters" and when_waiting:
            at_once(when_waiting.pop())

    monkeypatch.setattr(opening, "in_background", at_once)
    monkeypatch.setattr(closing, "in_background", at_once)
    monkeypatch.setattr(watching, "in_background", look_after)

    def run(prepare, **options):
        for number in range(1, 5000):
            one = scene(**{"timeout": 15} | options)
            function, *after = prepare(one)
            one.pool.watcher.start_anew()  # without the one of the preparation
            when_waiting[:] = after
            place = interrupted(function, number, request.param())
            check(one, f"interrupted in {place}")
            one.end()
            if place is None:
                assert number > 10, "nothing was interrupted"
                return

    def check(one, where):
        pool, server = one.pool, one.server
        assert is_free(pool.inventory.lock), f"{where}: the lock is held"
        for session in sessions:
            session.release()
        sessions.clear()
        if "Spec.connect" in where or "Opener._open" in where:
            return  # a driver's connection that nobody has got closes its socket by itself
        assert len(server.connections) <= pool.stats()["open"], (
            f"{where}: a connection without a slot"
        )
        pool.watcher.reconcile(much_later())
        pool.serve()
        for thread in one.threads:
            thread.join(10)
            assert not thread.is_alive(), f"{where}: a waiter waits for ever"
        assert one.settled(), f"{where}: {pool.stats()}"
        assert all(slot.connection.state == set() for slot in pool.inventory.idle), (
            f"{where}: state is left"
        )
        assert server.most <= pool.inventory.limits.max_conns, f"{where}: the bound"

    sessions = []
    run.sessions = sessions
    return run


def test_a_checkout_of_an_idle_connection_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        everywhere.sessions.append(session := one.session())
        return (session.checkout,)

    everywhere(prepare)


def test_a_checkout_that_opens_a_connection_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions.append(session := one.session())
        return (session.checkout,)

    everywhere(prepare, max_conns=1)


def test_a_checkout_that_finds_an_old_connection_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        for connection in one.server.connections:
            connection.expires_at = 0
        everywhere.sessions.append(session := one.session())
        return (session.checkout,)

    everywhere(prepare, max_conns=1)


def test_a_checkout_that_makes_room_for_itself_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        everywhere.sessions.append(session := one.session(one.new_spec("other")))
        return (session.checkout,)

    everywhere(prepare, max_conns=1)


def test_a_checkout_that_is_handed_a_connection_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        first = one.holder()
        everywhere.sessions += [session := one.session(), first]
        return session.checkout, first.release

    everywhere(prepare, max_conns=1)


def test_a_checkout_that_times_out_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions += [session := one.session(), one.holder()]

        def take():
            with suppress(PoolTimeout):
                session.checkout()

        return (take,)

    everywhere(prepare, max_conns=1, timeout=0.0001)


def test_a_checkout_without_threads_can_be_interrupted_anywhere(everywhere, monkeypatch):
    def prepare(one):
        monkeypatch.setattr(opening, "in_background", cannot_start)
        everywhere.sessions.append(session := one.session())
        return (session.checkout,)

    everywhere(prepare, max_conns=1)


def test_a_release_to_the_idle_ones_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions.append(session := one.holder())
        return (session.release,)

    everywhere(prepare)


def test_a_release_to_a_waiter_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions.append(session := one.holder())
        one.waiter(lambda session: None)
        return (session.release,)

    everywhere(prepare, max_conns=1)


@pytest.mark.parametrize("reason", ["surplus", "lost"])
def test_a_release_that_closes_can_be_interrupted_anywhere(everywhere, reason):
    def prepare(one):
        everywhere.sessions.append(session := one.holder())
        if reason == "lost":
            session.held.busy = True
        return (session.release,)

    everywhere(prepare, max_conns=1, reuse_conns=int(reason == "lost"))


@pytest.mark.parametrize("sql", ["SET a", "SET ROLE boss"])  # reset; closed
def test_a_release_of_a_changed_session_can_be_interrupted_anywhere(everywhere, sql):
    def prepare(one):
        everywhere.sessions.append(session := one.session())
        session.cursor().execute(sql)
        return (session.release,)

    everywhere(prepare)


def test_a_statement_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        everywhere.sessions.append(session := one.session())
        cursor = session.cursor()
        return (lambda: cursor.execute("SELECT 1"),)

    everywhere(prepare)


def test_a_statement_that_changes_its_session_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        one.holder().release()
        everywhere.sessions.append(session := one.session())
        cursor = session.cursor()
        return (lambda: cursor.execute("SET a"),)

    everywhere(prepare)


def test_a_transaction_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        everywhere.sessions.append(session := one.session())

        def transaction():
            session.autocommit(False)
            session.cursor().execute("INSERT INTO t VALUES (1)")
            session.commit()
            session.autocommit(True)

        return (transaction,)

    everywhere(prepare, max_conns=1)


def test_close_can_be_interrupted_anywhere(everywhere):
    def prepare(one):
        spare = one.holder()
        everywhere.sessions.append(one.holder())
        spare.release()
        return (one.pool.close,)

    everywhere(prepare)


def test_a_connection_whose_server_is_slow_to_close_keeps_its_slot_anyway(scene, monkeypatch):
    """Between the two assignments that keep the socket, too."""
    monkeypatch.setattr(closing, "in_background", lambda *args: None)
    for number in range(1, 5000):
        one = scene(max_conns=1, reuse_conns=0)
        one.server.lets_go = False
        session = one.holder()
        place = interrupted(session.release, number, SoftLimitError())
        session.release()
        one.pool.watcher.reconcile(much_later())
        assert one.pool.stats()["open"] == len(one.server.connections) == 1, (
            f"interrupted in {place}"
        )
        one.server.end_what_was_closed()
        one.pool.inventory.slots.clear()
        if place is None:
            assert number > 10
            return
