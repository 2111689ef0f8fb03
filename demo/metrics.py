"""Reads the workers' own counters from /metrics: how long requests waited for a connection."""

import http.client
import re
from urllib.parse import urlsplit

#: A scrape reaches one of the workers, whichever is free; enough to have met both of them.
SCRAPES = 40


def read(url: str) -> dict[str, dict[str, float]]:
    """Return ``{pid: {"checkouts": n, "wait_seconds": s}}`` of the workers that answered."""
    workers: dict[str, dict[str, float]] = {}
    for _ in range(SCRAPES):
        text = scrape(url)
        for name, pid, value in re.findall(
            r'^mysql_pool_(checkouts|wait_seconds)_total\{.*?pid="(\d+)".*?\} (\S+)$',
            text,
            re.MULTILINE,
        ):
            workers.setdefault(pid, {})[name] = float(value)
        if len(workers) >= 2:
            break
    return workers


def scrape(url: str) -> str:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", "/metrics", headers={"Accept": "text/plain"})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def mean_wait(before: dict[str, dict[str, float]], after: dict[str, dict[str, float]]) -> float:
    """Seconds that a checkout waited on average between two readings."""

    def total(workers: dict[str, dict[str, float]], name: str) -> float:
        return sum(worker.get(name, 0.0) for worker in workers.values())

    checkouts = total(after, "checkouts") - total(before, "checkouts")
    return (total(after, "wait_seconds") - total(before, "wait_seconds")) / max(checkouts, 1)
