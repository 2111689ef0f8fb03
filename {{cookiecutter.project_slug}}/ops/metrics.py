"""The pools' counters in the text format of Prometheus.

The pool counts already, so a collector reads its numbers when it is asked, and prometheus_client
only writes the format. One scrape reaches one of the workers: every series carries its `pid`, and
`sum by (alias)` over a window of several scrapes sees all of them. The library's multi-process mode
would add up the workers in files on disk, at a write for each change; not worth it here.
"""

import os
from collections.abc import Iterator

from django.conf import settings
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

import mysql_pool

#: name, key of mysql_pool.stats(), help.
GAUGES = (
    ("mysql_pool_size", "max_conns", "Connections this worker may open at most."),
    ("mysql_pool_peak", "peak", "Most connections that were open at one time."),
    ("mysql_pool_waiting", "waiting", "Requests that wait for a connection now."),
)
COUNTERS = (
    ("mysql_pool_checkouts", "checkouts", "Connections taken from the pool."),
    ("mysql_pool_waits", "waits", "Checkouts that had to wait."),
    ("mysql_pool_wait_seconds", "wait_seconds", "Seconds spent waiting for a connection."),
    ("mysql_pool_held_seconds", "held_seconds", "Seconds for which connections were held."),
    ("mysql_pool_timeouts", "timeouts", "Requests that got no connection in time."),
    ("mysql_pool_rejected", "rejected", "Requests rejected because too many waited already."),
    ("mysql_pool_created", "created", "Connections opened."),
    ("mysql_pool_connect_errors", "connect_errors", "Connections the server did not give."),
)
STATES = ("in_use", "idle", "connecting", "closing")


class PoolCollector:
    """Reads mysql_pool.stats() at each scrape."""

    def collect(self) -> Iterator[Metric]:
        stats = mysql_pool.stats()
        pid = str(os.getpid())
        for name, key, text in GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=["alias", "pid"])
            for alias, pool in stats.items():
                gauge.add_metric([alias, pid], pool[key])
            yield gauge
        for name, key, text in COUNTERS:
            counter = CounterMetricFamily(name, text, labels=["alias", "pid"])
            for alias, pool in stats.items():
                counter.add_metric([alias, pid], pool[key])
            yield counter
        connections = GaugeMetricFamily(
            "mysql_pool_connections",
            "Connections of this worker by what they do now.",
            labels=["alias", "state", "pid"],
        )
        closed = CounterMetricFamily(
            "mysql_pool_closed", "Connections closed, by reason.", labels=["alias", "reason", "pid"]
        )
        pinned = CounterMetricFamily(
            "mysql_pool_pinned",
            "Connections kept until the end of a request, by reason.",
            labels=["alias", "reason", "pid"],
        )
        for alias, pool in stats.items():
            for state in STATES:
                connections.add_metric([alias, state, pid], pool[state])
            for reason, number in pool["closed"].items():
                closed.add_metric([alias, reason, pid], number)
            for reason, number in pool["pinned"].items():
                pinned.add_metric([alias, reason, pid], number)
        yield from (connections, closed, pinned)
        budget = GaugeMetricFamily(
            "connection_budget", "The budget of the whole deployment.", labels=["limit"]
        )
        for limit in ("pool_size", "peak_connections", "headroom", "max_user_connections"):
            budget.add_metric([limit], getattr(settings.PLAN, limit))
        yield budget


REGISTRY = CollectorRegistry()
REGISTRY.register(PoolCollector())
ProcessCollector(registry=REGISTRY)  # CPU, memory and open files of this worker


def render(accept: str) -> tuple[bytes, str]:
    """The metrics in the format the scraper prefers (its Accept header), and that content type."""
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type
