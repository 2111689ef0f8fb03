"""A pool, its queue and sessions with a server that is a few lines of Python (fake.py).

What needs a real server is in behaviour/. With this server everything happens in order or waits for
an event, so it can be said exactly.
"""

import threading
import time
from types import SimpleNamespace

from mysql_pool import answers
from mysql_pool.holder import Spec
from mysql_pool.limits import Limits
from mysql_pool.pool import Pool
from mysql_pool.session import Session
from packages.mysql_pool.tests import fake


def eventually(condition, seconds=20):
    """Wait for another thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.001)


class Scene:
    """A pool on a server, and threads that use it."""

    def __init__(self, **options):
        self.server = fake.Server()
        self.driver = fake.Driver(self.server)
        self.options = {
            "max_conns": 2,
            "reuse_conns": 2,
            "timeout": 30,
            "max_waiting": 1000,
            "max_idle": 60,
            "max_age": None,
        }
        self.pool = Pool(
            name="default",
            kill=lambda connection, number: connection.run(f"KILL {number}"),
            is_refusal=answers.is_refusal,
            operational_error=fake.OperationalError,
            limits=Limits(**self.options | options),
        )
        self.spec = self.new_spec("default")
        self.threads = []

    def new_spec(self, key):
        return self.pool.specs.find({"name": key}, lambda: Spec(self.driver.connect))

    def session(self, spec=None, **options):
        options = {"per_request": False, **options}
        return Session(self.pool, spec or self.spec, self.driver, **options)

    def holder(self, spec=None):
        """A session that holds a connection."""
        session = self.session(spec, per_request=True)
        session.checkout()
        return session

    def waiter(self, then=None, spec=None, **options):
        """A thread that wants a connection; returns the future outcome once it is in the queue."""
        outcome = SimpleNamespace(session=None, error=None, done=threading.Event())
        before = len(self.pool.inventory.waiters)

        def wait():
            session = self.session(spec, **options)
            try:
                session.checkout()
                outcome.session = session
                if then is not None:
                    then(session)
            except BaseException as error:
                outcome.error = error
            finally:
                if then is not None:
                    session.close()
                outcome.done.set()

        thread = threading.Thread(target=wait, daemon=True)
        self.threads.append(thread)
        thread.start()
        eventually(lambda: len(self.pool.inventory.waiters) > before or outcome.done.is_set())
        return outcome

    def settled(self):
        """Every slot is an idle connection, and the server has no other."""
        idle = list(self.pool.inventory.idle)
        return (
            not self.pool.inventory.waiters
            and set(idle) == self.pool.inventory.slots
            and {slot.connection for slot in idle} == self.server.connections
        )

    def end(self):
        self.server.refusal = None
        self.server.greets.set()
        for thread in self.threads:
            thread.join(30)
        self.server.end_what_was_closed()
        self.pool.close()
        eventually(lambda: not any(slot.state == "closing" for slot in self.pool.inventory.slots))
        self.server.close()


def refused(number=1040):
    return fake.OperationalError(number, "not now")


def much_later():
    return time.monotonic() + 10


def cannot_start(*args):
    raise RuntimeError("can't start new thread")
