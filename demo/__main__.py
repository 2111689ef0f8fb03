"""`make demo`: generate a project, start it, load it cold and warm, and judge what its server saw.

Exits with 0 if the connection bound was kept and nothing but 503s went wrong, else with 1; with 130
after Ctrl-C. Whatever happens, nothing is left running and the scratch folder is removed.
"""

import http.client
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from budget.plan import plan
from budget.source import load
from demo import metrics, summary
from demo.load import Run
from demo.observer import Observer
from demo.project import SLUG, DemoError, Project
from localserver.programs import ServerError

REPOSITORY = Path(__file__).parents[1]
CLIENTS = 300
LIST = "/api/products/?limit=20"
LOCK = 4  # seconds that a row stays locked beyond the pool timeout

started = time.monotonic()


def main() -> int:
    # As Ctrl-C: unwinds through every `finally`.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with scratch_folder() as scratch:
            result = run(Project(scratch))
    except KeyboardInterrupt:
        say("interrupted; everything was stopped and removed")
        return 128 + signal.SIGINT
    except (DemoError, ServerError) as error:
        say(str(error))
        return 1
    print(summary.text(result, time.monotonic() - started), flush=True)
    return 1 if result.failures() else 0


def run(project: Project) -> summary.Result:
    say("generating a project from a clean copy of this repository")
    project.generate()
    result = summary.Result(
        plan(load(project.folder / "budget.toml", {})), project.server.programs.name
    )
    say("make run: its own environment, database server, tables and products")
    try:
        project.start(lambda line: say(f"    {line}"))
        with Observer(project.server, SLUG) as observer, ExitStack() as loads:
            burst_and_load(project, observer, result, loads)
        say("timing the pool from inside the project")
        times = json.loads(project.python(REPOSITORY / "demo" / "checkout.py"))
        result.first_checkout, result.later_checkout = times[0], statistics.median(times[1:])
    finally:
        say("stopping it")
        project.stop()
    return result


def burst_and_load(
    project: Project, observer: Observer, result: summary.Result, loads: ExitStack
) -> None:
    """All loads, one after the other; ``loads`` ends what still runs."""

    def load_with(name: str, *parts: tuple[str, int, str | None], **amount: float) -> None:
        say(f"{name}: {sum(clients for _, clients, _ in parts)} clients")
        counted, waited = observer.counts(), metrics.read(project.url) if result.outcomes else {}
        runs = []
        for path, clients, body in parts:
            label = name if len(parts) == 1 else f"{name}: {path.split('?')[0]}"
            one = Run(label, project.url + path, clients=clients, body=body, **amount)
            loads.callback(one.stop)
            runs.append(one)
        watch(runs, observer)
        outcomes = [one.result() for one in runs]
        counts = observer.counts() - counted
        for outcome in outcomes:
            result.outcomes.append(outcome)
        requests = sum(outcome.requests for outcome in outcomes)
        result.statements[name] = counts["Questions"] / max(requests, 1)
        result.connects[name] = counts["Connections"]
        result.mean_wait[name] = metrics.mean_wait(waited, metrics.read(project.url))

    before = observer.counts()
    load_with("cold burst", (LIST, CLIENTS, None), requests=CLIENTS * 10)
    # Not to be sold out before the demo is over.
    observer.query("UPDATE shop_product SET stock = 1000000000")
    product = observer.query("SELECT MIN(id) FROM shop_product")[0][0]
    order = json.dumps({"product": product, "quantity": 1})
    load_with("warm, one statement", (LIST, CLIENTS, None), seconds=6)
    load_with(
        "mixed",
        (LIST, CLIENTS // 2, None),
        ("/api/quote/?delay=50", CLIENTS // 3, None),
        ("/api/orders/", CLIENTS // 6, order),
        seconds=12,
    )
    row_locked(project, observer, result, loads, product, order)
    load_with("afterwards", (LIST, CLIENTS, None), requests=CLIENTS * 3)
    observer.check()
    result.max_used = observer.max_used()
    result.most_seen = observer.most
    result.refused_by_server = (observer.counts() - before)["Connection_errors_max_connections"]


def row_locked(
    project: Project,
    observer: Observer,
    result: summary.Result,
    loads: ExitStack,
    product: int,
    order: str,
) -> None:
    """Lock the row that everybody wants for longer than the pool timeout: the pool is full."""
    seconds = result.plan.pool_timeout + LOCK
    say(f"a row is locked for {seconds} s: {CLIENTS} clients order that product")
    observer.query("BEGIN")
    observer.query("SELECT id FROM shop_product WHERE id = %s FOR UPDATE", product)
    unlock_at = time.monotonic() + seconds
    one = Run(
        "row locked", project.url + "/api/orders/", clients=CLIENTS, requests=CLIENTS, body=order
    )
    loads.callback(one.stop)
    while observer.busy() < result.plan.steady_connections:
        if time.monotonic() > unlock_at - result.plan.pool_timeout:
            raise DemoError("The pools did not fill up although a row they all need is locked.")
        time.sleep(0.02)
    sent = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", project.port, timeout=60)
    try:
        connection.request("GET", LIST)
        answer = connection.getresponse()
        result.busy_status = answer.status
        result.retry_after = answer.headers.get("Retry-After")
    finally:
        connection.close()
    result.busy_after = time.monotonic() - sent
    time.sleep(max(0.0, unlock_at - time.monotonic()))
    observer.query("COMMIT")
    watch([one], observer)
    result.outcomes.append(one.result())


def watch(runs: list[Run], observer: Observer) -> None:
    """Show the connections of this moment until all of ``runs`` have ended."""
    shown = 0.0
    while any(one.running for one in runs):
        time.sleep(0.1)
        observer.check()
        if time.monotonic() - shown >= (1 if sys.stdout.isatty() else 5):
            shown = time.monotonic()
            say(f"    {observer.now} connections now, {observer.most} at most", passing=True)


def say(text: str, *, passing: bool = False) -> None:
    """Print one line with the seconds so far; a ``passing`` one is overwritten on a terminal."""
    line = f"[{time.monotonic() - started:4.0f} s] {text}"
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="" if passing else "\n", flush=True)
    else:
        print(line, flush=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    sys.exit(main())
