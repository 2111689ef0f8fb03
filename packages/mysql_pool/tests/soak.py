"""``make soak``: greenlets killed and timed out at random, until a lost slot or a leak would show.

Runs the load of behaviour/killing.py against a private server, for each driver and release mode in
a process of its own, and judges what the requests, the server and the process itself saw.

Exit 0: every promise kept. 1: one was broken. 2: it could not be found out.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localserver.programs import ServerError

DRIVERS, RELEASES = ("pymysql", "mysqlclient"), ("transaction", "request")
BOUND = 10
ROUNDS = 10  # after each everything is counted; the first is the warm-up
# What a process may gain after the warm-up without any leak: the allocator's own disorder. A leak
# of 50 bytes for each of 90,000 requests would be more.
MEMORY_SLACK = 4_000_000  # bytes
OBJECTS_SLACK = 1000  # caches that fill up


# What may be more at the end: mysqlclient connects in gevent's thread pool, which grows to 10.
COUNTED = {"files": 0, "threads": 10, "greenlets": 20, "ended and kept": 0}


class SoakError(RuntimeError):
    """A variant did not run to its end; the text says why."""


def main() -> int:
    """Parse the command line; keep the exit codes above."""
    top = argparse.ArgumentParser(prog="make soak ARGS=…", description=__doc__)
    top.add_argument("--requests", type=int, default=100_000, help="of each variant (%(default)s)")
    top.add_argument("--seed", type=int, help="decides what happens to whom (default: a new one)")
    top.add_argument("--driver", choices=DRIVERS, help="only this one (default: both)")
    top.add_argument("--release", choices=RELEASES, help="only this one (default: both)")
    top.add_argument("--inside", metavar="SOCKET", help=argparse.SUPPRESS)
    options = top.parse_args()
    if options.seed is None:
        options.seed = random.randrange(10**6)
    if options.requests < ROUNDS:
        top.error(f"--requests has to be at least {ROUNDS}")
    if options.inside:
        return inside(options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"seed {options.seed} (--seed={options.seed} repeats it)", flush=True)
    try:
        reports = [
            soak(driver, release, options)
            for driver in ([options.driver] if options.driver else DRIVERS)
            for release in ([options.release] if options.release else RELEASES)
        ]
    except KeyboardInterrupt:
        print("Interrupted; the server and the load are stopped.", flush=True)
        return 128 + signal.SIGINT
    except (ServerError, SoakError) as error:
        print(error, file=sys.stderr)
        return 2
    print(table(reports), flush=True)
    return 1 if any(failures(report) for report in reports) else 0


# -- one variant, from outside -----------------------------------------------------------------


def soak(driver: str, release: str, options: argparse.Namespace) -> dict:
    """Run the load and watch its server; returns what was seen."""
    from demo.observer import Observer
    from localserver.server import Server

    report = {"driver": driver, "release": release, "rounds": []}
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        Server(Path(folder, "server"), {"max_connections": str(3 * BOUND)}) as server,
    ):
        server.ensure_database("pool")  # where the observer looks from
        server.ensure_database("pooltest")
        # The server holds the bound too: one connection too many would be an error.
        server.ensure_account("pool", "secret", "pooltest", max_user_connections=BOUND)
        with (
            Observer(server, "pool") as observer,
            load(driver, release, server.socket, options, Path(folder, "log")) as lines,
        ):
            for line in lines:
                seen = json.loads(line)
                report["rounds"].append(seen)
                tell(report, options.requests)
                observer.check()
            report["most"] = max(observer.max_used(), observer.most)
    return report


@contextmanager
def load(
    driver: str, release: str, socket: str, options: argparse.Namespace, log: Path
) -> Iterator[Iterator[str]]:
    """The process of one variant; its lines, one for each round. Ended with the block."""
    from localserver.processes import child_setup

    # `-m gevent.monkey` patches before anything else is imported.
    command = [sys.executable, "-m", "gevent.monkey", __file__, f"--inside={socket}"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, f"--requests={options.requests}", f"--seed={options.seed}"],
            env={**os.environ, "POOL_DRIVER": driver, "POOL_RELEASE": release},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=child_setup(die_with_parent=True),  # noqa: PLW1509 - it only sets a signal
        )
    try:
        yield iter(process.stdout)
        if process.wait():
            last = "\n".join(log.read_text().splitlines()[-30:])
            raise SoakError(f"{driver}, {release}: exit {process.returncode}\n{last}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def tell(report: dict, requests: int) -> None:
    """One line of progress."""
    now = report["rounds"][-1]
    print(
        f"{report['driver']:<11} {report['release']:<11} {now['requests']:>7,} of {requests:,}"
        f"  {now['per_second']:>5.0f}/s  wrong {len(now['wrong'])}  lost slots {now['lost']}"
        f"  {now['memory'] / 1e6:.1f} MB",
        flush=True,
    )


def failures(report: dict) -> list[str]:
    """Each promise that was broken, as a sentence; empty if all were kept."""
    warm, end = report["rounds"][0], report["rounds"][-1]
    found = [f"wrong answer: {one}" for one in end["wrong"][:10]]
    if lost := max(one["lost"] for one in report["rounds"]):
        found.append(f"{lost} slots lost")
    if report["most"] > BOUND:
        found.append(f"the server saw {report['most']} connections, {BOUND} allowed")
    found += [
        f"{number} requests ended with {how}"
        for how, number in end["ended"].items()
        if how not in ("killed", "timed out")
    ]
    if not (end["interrupted"] and end["ended"].get("killed") and end["ended"].get("timed out")):
        found.append("nothing was interrupted, so nothing was tested")
    for what, slack in COUNTED.items():
        if end[what] > warm[what] + slack:
            found.append(f"{what}: {warm[what]} after the warm-up, {end[what]} at the end")
    if end["objects"] - warm["objects"] > OBJECTS_SLACK:
        found.append(f"objects: {warm['objects']} after the warm-up, {end['objects']} at the end")
    if end["memory"] - warm["memory"] > MEMORY_SLACK:
        found.append(f"memory grew from {warm['memory'] / 1e6:.1f} to {end['memory'] / 1e6:.1f} MB")
    return found


def table(reports: list[dict]) -> str:
    """All variants side by side, and the verdict."""
    rows = {
        "requests": lambda r: f"{r['rounds'][-1]['requests']:,}",
        "answered": lambda r: f"{r['rounds'][-1]['answered']:,}",
        "killed": lambda r: f"{r['rounds'][-1]['ended'].get('killed', 0):,}",
        "timed out": lambda r: f"{r['rounds'][-1]['ended'].get('timed out', 0):,}",
        "  of these in a statement": lambda r: f"{r['rounds'][-1]['interrupted']:,}",
        "ended without giving back": lambda r: f"{r['rounds'][-1]['leaked']:,}",
        "connections opened": lambda r: f"{r['rounds'][-1]['created']:,}",
        "wrong answers": lambda r: len(r["rounds"][-1]["wrong"]),
        "lost slots": lambda r: max(one["lost"] for one in r["rounds"]),
        f"most connections (of {BOUND})": lambda r: r["most"],
        **{
            f"{what}, warm and at the end": lambda r, what=what: (
                f"{r['rounds'][0][what]:,} {r['rounds'][-1][what]:,}"
            )
            for what in (*COUNTED, "objects")
        },
        "memory in MB, warm and at the end": lambda r: (
            f"{r['rounds'][0]['memory'] / 1e6:.1f} {r['rounds'][-1]['memory'] / 1e6:.1f}"
        ),
    }
    lines = [
        f"{title:<34}" + "".join(f"{value(r)!s:>17}" for r in reports)
        for title, value in {
            "": lambda r: r["driver"],
            " ": lambda r: r["release"],
            **rows,
        }.items()
    ]
    broken = [
        f"  - {report['driver']}, {report['release']}: {one}"
        for report in reports
        for one in failures(report)
    ]
    return "\n".join(["", *lines, "", *(["FAILED", *broken] if broken else ["Kept."])])


# -- one variant, from inside ------------------------------------------------------------------


def inside(options: argparse.Namespace) -> int:
    """The load itself, in a process that gevent has patched; prints one line for each round."""
    from django.db import connections

    from packages.mysql_pool.tests.behaviour import killing, scene

    database = connections.databases["default"]
    database["HOST"], database["CONN_MAX_AGE"] = options.inside, 5
    database["OPTIONS"] = {
        **{"DRIVER": scene.DRIVER, "RELEASE": scene.RELEASE, "MAX_CONNS": BOUND},
        # Age, idleness and forgotten connections are to have their turn as well.
        **{"POOL_TIMEOUT": 60, "MAX_IDLE": 4},
    }
    load = killing.Load(options.seed)
    done = 0
    for number in range(1, ROUNDS + 1):
        begun, so_far = time.monotonic(), options.requests * number // ROUNDS
        load.requests(so_far - done)
        seconds, before, done = time.monotonic() - begun, done, so_far
        lost = killing.lost_slots()
        now = killing.stats()["default"]
        seen = {
            "requests": done,
            "per_second": (done - before) / seconds,
            "answered": load.answered,
            "ended": load.ended,
            "wrong": load.wrong,
            "lost": lost,
            "interrupted": now["closed"].get("interrupted", 0),
            "leaked": now["closed"].get("leaked", 0),
            "created": now["created"],
            **killing.left_over(),
            "ended and kept": load.kept(),
        }
        print(json.dumps(seen), flush=True)
        if lost:
            break  # the rest would only wait for them
    return 0


if __name__ == "__main__":
    sys.exit(main())
