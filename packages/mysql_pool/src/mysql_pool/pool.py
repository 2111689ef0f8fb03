"""The pool: at most ``max_conns`` connections of this process at the server, at every moment.

A *slot* is taken before a connection is opened, and given back when the server has closed it.
Waiters wait for a slot in a queue; a freed connection goes to the waiter that has waited longest.

The parts: ``inventory`` has the slots, the idle ones and the queue; ``opening`` and ``closing`` are
the two ends of a connection's life; ``watching`` finds what was lost. Nothing here knows Django,
SQL or a driver.
"""

import logging
import os
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from .closing import Closer, Kill
from .concurrency import current
from .drivers.contract import PhysicalConnection
from .errors import PoolTimeout, TooManyWaiting
from .holder import Holder, Spec
from .hosting import HostTasks
from .inventory import Inventory
from .ledger.file import now as now_of_host
from .ledger.record import Record
from .ledger.share import Share
from .limits import Limits
from .opening import Opener
from .places import Place, place
from .reports import TimeoutLog
from .slot import CLOSING, CONNECTING, OPEN, Slot
from .specs import Specs
from .waiter import Waiter
from .watching import Watcher

logger = logging.getLogger("mysql_pool")

# How often all connections may be taken for connections to the wrong server.
DISTRUST_EVERY = 1  # seconds


class Pool:
    """Connections for one process and one alias, to the server that its settings name.

    Args:
        kill: ends another connection at the server, see `closing.Kill`.
        is_refusal: whether an error of ``Spec.connect`` may be gone in a moment.
        operational_error: the driver's class; a `PoolError` is raised as a subclass of it too.
        limits: the bound and what else is limited; ``configure`` changes them.
    """

    def __init__(
        self,
        *,
        name: str,
        kill: Kill,
        is_refusal: Callable[[BaseException], bool],
        operational_error: type[Exception],
        limits: Limits,
    ):
        self.name = name
        self._timeout_error = _also_a(operational_error, PoolTimeout)
        self._rejected_error = _also_a(operational_error, TooManyWaiting)
        self.inventory = Inventory(limits)
        self.specs = Specs(self.inventory)
        self.closer = Closer(
            self.inventory, self, name=name, forget_slot=self.forget_slot, kill=kill
        )
        self.watcher = Watcher(
            self.inventory,
            self.closer,
            name=name,
            forget_slot=self.forget_slot,
            serve=self.serve,
        )
        self.opener = Opener(
            self.inventory,
            self.closer,
            self.watcher,
            forget_slot=self.forget_slot,
            is_refusal=is_refusal,
        )
        self._host_tasks: HostTasks | None = None
        self._started_at = now_of_host()
        self._timeout_log = TimeoutLog()
        self._distrusted_at = float("-inf")

        self.checkouts = self.waits = self.timeouts = self.rejected = 0
        self.wait_seconds = self.held_seconds = 0.0
        self.pinned_by: Counter[str] = Counter()
        self._join_host()

    def configure(self, limits: Limits) -> None:
        """Set the limits; they hold from now on."""
        before, self.inventory.limits = self.inventory.limits, limits
        if limits.host != before.host:
            self._join_host()
        self._hang_up(self.inventory.condemn_surplus())

    def _join_host(self) -> None:
        inventory, terms = self.inventory, self.inventory.limits.host
        with inventory.lock:
            if inventory.share is not None:
                inventory.share.forget()
            inventory.share = self._host_tasks = None
            if terms is not None:
                inventory.share = Share(terms, self.describe)
                for slot in inventory.slots:
                    slot.seat = inventory.share.admit()
                self._host_tasks = HostTasks(
                    inventory, inventory.share, self.closer, name=self.name, serve=self.serve
                )

    # -- checkout and release --------------------------------------------------------------

    def checkout(self, holder: Holder, spec: Spec, urgent: bool = False) -> None:
        """Give ``holder`` a connection; waits at most ``timeout`` seconds, first come first served.

        ``urgent`` goes to the head of the queue: for what makes a connection free. Raises
        `PoolTimeout`, `TooManyWaiting`, or what ``spec.connect`` raises.
        """
        now = time.monotonic()
        inventory = self.inventory
        while True:
            with inventory.lock:
                # Nobody waits while there is an idle connection, so this overtakes nobody.
                slot = inventory.take_idle(spec) if inventory.idle and not holder.inline else None
                if slot is not None:
                    reason = inventory.unfit_to_lend(slot, now)
                    if reason is None:
                        self.checkouts += 1
                        slot.lend(holder, current(), now, self._place())
                        return
                    inventory.condemn(slot, reason)
            if slot is None:
                self._wait(holder, spec, urgent, now)
                return
            self.closer.hang_up(slot)

    def _place(self) -> Place | None:
        """Where a connection is asked for, to be logged if it is not given back."""
        return place(sys._getframe()) if self.watcher.leaks.has_seen_any else None

    def _wait(self, holder: Holder, spec: Spec, urgent: bool, since: float) -> None:
        waiter = Waiter(holder, since + self.inventory.limits.timeout, self._place())
        self.opener.forget_attempts_of(waiter.owner)
        try:
            with self.inventory.lock:
                self._enqueue(waiter, spec, urgent)
            self.watcher.reconcile(since)
            if self._host_tasks is not None:
                self._host_tasks.attend()
            self.serve()
            self.watcher.watch()
            waiter.wait(waiter.deadline - time.monotonic())
            now = time.monotonic()
            self.waits += 1
            self.wait_seconds += now - since
            self.inventory.leave_queue(waiter)
            if waiter.granted is not None:
                self.opener.open_inline(waiter.granted, holder)
            elif not waiter.served:
                self.timeouts += 1
                raise self._timeout_error(self._timeout_message(now - since))
            if waiter.error is not None:
                raise waiter.error
            self.checkouts += 1
        except BaseException:
            # Killed or timed out: what was handed over meanwhile goes on.
            self.inventory.leave_queue(waiter)
            self._give_up(waiter)
            raise

    def _enqueue(self, waiter: Waiter, spec: Spec, urgent: bool) -> None:
        """A place in the queue. Lock held."""
        inventory = self.inventory
        waiters = inventory.waiters
        if urgent:
            waiters[waiter] = spec
            waiters.move_to_end(waiter, last=False)
            return
        limits = inventory.limits
        if len(waiters) >= limits.max_waiting and (
            self.opener.refusals or len(inventory.slots) >= inventory.most
        ):
            self.rejected += 1
            raise self._rejected_error(
                f"All {inventory.most} connections of the pool {self.name!r} are in use and "
                f"{len(waiters)} requests wait for one already (MAX_WAITING)."
            )
        waiters[waiter] = spec

    def _give_up(self, waiter: Waiter) -> None:
        holder = waiter.holder
        if waiter.granted is not None and waiter.granted.state is CONNECTING:
            self.forget_slot(waiter.granted)
        elif holder.held is not None:
            connection, holder.held = holder.held, None
            connection.clean = True  # nothing was done with it
            self.release(connection, holder.reference)

    def release(
        self,
        connection: PhysicalConnection,
        reference: weakref.ref[Holder],
        reason: str | None = None,
    ) -> None:
        """Take back what the holder with this ``reference`` had until now (its ``held`` is None).

        With a ``reason`` the connection is not fit for use and is closed.
        """
        now = time.monotonic()
        inventory = self.inventory
        slot: Slot | None = connection.slot
        with inventory.lock:
            if slot is None or slot not in inventory.slots or slot.holder is not reference:
                return  # taken away meanwhile: the pool reclaimed it, or the process forked
            self.held_seconds += now - slot.since
            slot.taken_back()
            kept = inventory.hand_on(slot, now, reason)
        if not kept:
            self.closer.hang_up(slot)

    def serve(self) -> None:
        """Give idle connections to waiters, and let connections be opened for the others."""
        self._hang_up(self.inventory.serve_idle())
        self.opener.open_for_waiters()

    def forget_slot(self, slot: Slot) -> None:
        """This slot is free: nothing of it is at the server. A waiter may have its place."""
        self.inventory.discard(slot)
        self.serve()

    def _hang_up(self, condemned: list[Slot]) -> None:
        for slot in condemned:
            self.closer.hang_up(slot)

    # -- what a session has seen -----------------------------------------------------------

    def note_pin(self, reason: str) -> None:
        """A session keeps its connection until its request ends."""
        self.pinned_by[reason] += 1

    def heard_of(self, connection: PhysicalConnection) -> None:
        """It is known now which server this connection has reached: see ``Closer.heard_of``."""
        inventory = self.inventory
        with inventory.lock:
            slot: Slot | None = connection.slot
            if inventory.share is not None and slot is not None and slot.seat is not None:
                inventory.share.opened(slot.seat, connection.number, connection.server)
        self.closer.heard_of(connection.server)

    def distrust(self, server: str | None) -> None:
        """The answer of a connection said "you are at the wrong server": others say the same.

        All connections to that server (None: to any) are closed, those in use when they come back.
        Not more often than `DISTRUST_EVERY`, for the address may still lead there.
        """
        now = time.monotonic()
        if now - self._distrusted_at < DISTRUST_EVERY:
            return
        self._distrusted_at = now
        self._hang_up(self.inventory.condemn_server(server))

    # -- the whole pool --------------------------------------------------------------------

    def close(self) -> None:
        """Close all idle connections now and the others when they are given back.

        The pool can be used again afterwards; that is what Celery's fork and tests need.
        """
        self._hang_up(self.inventory.condemn_idle())

    def say_goodbye(self) -> None:
        """At the end of the process: COM_QUIT on the idle connections, and no wait for the server.

        It would log "Aborted connection" for each, and count it in Aborted_clients.
        """
        inventory = self.inventory
        while inventory.idle:
            slot = inventory.idle.pop()
            with inventory.lock:
                inventory.slots.discard(slot)  # its seat is free when the process has ended
            if slot.connection is not None:
                slot.connection.hang_up()
        self.tell_host()

    def forget_after_fork(self) -> None:
        """In the child of a fork: these connections belong to the parent; start with none."""
        inherited = self.inventory.slots
        self.inventory.start_empty()
        if self.inventory.share is not None:
            self.inventory.share.forget()
        for part in (self.closer, self.watcher, self.opener, self._host_tasks):
            if part is not None:
                part.start_anew()
        for slot in inherited:
            if slot.connection is None:
                continue
            try:
                slot.connection.disown()
            except Exception as error:  # the others are the parent's as well
                logger.warning("%s: a connection of the parent stays: %s", self.name, error)

    # -- what it tells ---------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Counters since the start and gauges of this moment; connections and seconds."""
        inventory, opener = self.inventory, self.opener
        with inventory.lock:
            slots = list(inventory.slots)
        states = Counter(slot.state for slot in slots)
        in_use = sum(slot.state is OPEN and slot.in_use for slot in slots)
        return {
            "max_conns": inventory.most,
            "open": len(slots),
            "in_use": in_use,
            "idle": states[OPEN] - in_use,
            "connecting": states[CONNECTING],
            "closing": states[CLOSING],
            "waiting": len(inventory.waiters),
            "peak": opener.peak,
            "checkouts": self.checkouts,
            "held_seconds": self.held_seconds,
            "waits": self.waits,
            "wait_seconds": self.wait_seconds,
            "timeouts": self.timeouts,
            "rejected": self.rejected,
            "created": opener.created,
            "connect_errors": opener.connect_errors,
            "closed": dict(inventory.closed_by),
            "pinned": dict(self.pinned_by),
        }

    def leave_host(self) -> None:
        """At the pool's end: nothing of the host is this pool's any more."""
        with self.inventory.lock:
            if self.inventory.share is not None:
                self.inventory.share.forget()

    def tell_host(self) -> None:
        """Write what this pool has now, for those who read the ledger."""
        with self.inventory.lock:
            if self.inventory.share is not None:
                self.inventory.share.tell()

    def describe(self) -> Record:
        """What other processes of the host may know of this pool."""
        inventory, terms = self.inventory, self.inventory.limits.host
        stats = self.stats()
        same = {
            name: stats[name]
            for name in (
                *("open", "in_use", "idle", "waiting", "peak", "checkouts", "waits"),
                *("wait_seconds", "held_seconds", "timeouts", "rejected", "created"),
                "connect_errors",
            )
        }
        return Record(
            pid=os.getpid(),
            started_at=self._started_at,
            written_at=now_of_host(),
            guaranteed=terms.guaranteed if terms is not None else 0,
            most=inventory.most,
            pinned=sum(stats["pinned"].values()),
            closed=sum(stats["closed"].values()),
            role=terms.role if terms is not None else "",
            alias=self.name,
            **same,
        )

    def _timeout_message(self, waited: float) -> str:
        now = self.stats()
        message = (
            f"No connection from the pool {self.name!r} within {waited:.1f} s (POOL_TIMEOUT): "
            f"{now['in_use']} of {now['max_conns']} are in use, {now['waiting']} others wait"
        )
        if now["connecting"]:
            message += f", {now['connecting']} are being opened"
        if now["closing"]:
            message += f", {now['closing']} wait for the server to end a statement"
        if self.opener.last_error is not None:
            message += f"; the last attempt to connect failed: {self.opener.last_error}"
        with self.inventory.lock:
            slots = list(self.inventory.slots)
        self._timeout_log.tell(message, slots)
        return message + "."


def _also_a(operational_error: type[Exception], error: type[Exception]) -> type[Exception]:
    """``error`` as a subclass of the driver's too."""
    return type(error.__name__, (error, operational_error), {})
