"""``python -m tests.conformance``: run Django's test suite against mysql_pool and against stock.

Exit 0: nothing fails with mysql_pool that passes with the stock backend. 1: something does.
2: it could not be found out.
"""

import argparse
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from localserver.programs import ServerError

from . import baseline, source
from .compare import differences, read_exclusions, stale
from .modules import all_modules, core_modules
from .report import GREEN, RED, Report
from .run import Outcomes, Run, RunError, Variant, database_server, run_all

DRIVERS = tuple(source.DRIVERS)
RELEASES = ("transaction", "request")


def main() -> int:
    """Parse the command line; keep the exit codes above."""
    options = parser().parse_args()
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    report = Report(colour=colour if options.color is None else options.color)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return conform(options.django, options, report)
    except KeyboardInterrupt:
        report.line("Interrupted; the server and the suite are stopped.")
        return 128 + signal.SIGINT
    except (source.SourceError, ServerError, RunError) as error:
        report.line(str(error))
        return 2


def parser() -> argparse.ArgumentParser:
    """The command line; every default is what `make conformance` does."""
    top = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    top.add_argument("modules", nargs="*", help="modules of Django's suite (default: all of ours)")
    top.add_argument("--core", action="store_true", help="the fast core of the modules")
    top.add_argument("--django", default="5.2", metavar="SERIES", help="5.2 (default) or 6.1")
    top.add_argument("--python", default=sys.executable, help="the Python to test with")
    top.add_argument("--driver", choices=DRIVERS, help="only this one (default: both)")
    top.add_argument("--release", choices=RELEASES, help="only this one (default: both)")
    top.add_argument("--flavour", default="auto", choices=["auto", "mariadb", "mysql"])
    top.add_argument("--gevent", action="store_true", help="all of it patched by gevent")
    top.add_argument("--jobs", type=int, default=2, help="variants at the same time (default: 2)")
    top.add_argument("--new-baseline", action="store_true", help="run the stock backend again")
    top.add_argument("--color", action=argparse.BooleanOptionalAction, help="default: a terminal")
    return top


def conform(series: str, options: argparse.Namespace, report: Report) -> int:
    """One Django version: all variants on one server. Returns 1 for differences."""
    source.check_python(options.python, series)
    django = source.django_source(series, options.python)
    drivers = [options.driver] if options.driver else DRIVERS
    releases = [options.release] if options.release else RELEASES
    pythons = {d: source.environment(series, d, options.python) for d in drivers}
    modules = chosen_modules(options, django)

    with run_folder(series) as folder, database_server(options.flavour) as server:
        # What the stock backend does patched is another baseline.
        conditions = [*modules, *(["gevent"] if options.gevent else [])]
        kept = {d: baseline.path(django, d, pythons[d], server, conditions) for d in pythons}
        report.line(headline(kept.values(), len(modules)))
        stock = {} if options.new_baseline else {d: baseline.read(p) for d, p in kept.items()}
        variants = [
            Variant("stock", d, gevent=options.gevent) for d in drivers if stock.get(d) is None
        ]
        variants += [
            Variant("mysql_pool", d, r, gevent=options.gevent) for r in releases for d in drivers
        ]
        runs = [Run(v, pythons[v.driver], django, modules) for v in variants]
        run_all(runs, folder, server, options.jobs, report.progress)
        for run in [run for run in runs if run.variant.backend == "stock"]:
            runs.remove(run)
            stock[run.variant.driver] = run.outcomes()
            baseline.write(kept[run.variant.driver], stock[run.variant.driver])
        outcomes = {run.variant: run.outcomes() for run in runs}
    return judge(outcomes, stock, options, report)


@contextlib.contextmanager
def run_folder(series: str) -> Iterator[Path]:
    """The folder for logs and outcomes of the last run; for one run at a time."""
    folder = source.cache_folder() / "runs" / series
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise source.SourceError(f"Another run of Django {series} uses {folder}.") from None
        yield folder


def judge(
    outcomes: dict[Variant, Outcomes],
    stock: dict[str, Outcomes],
    options: argparse.Namespace,
    report: Report,
) -> int:
    """Compare, print, and return the exit code."""
    exclusions = read_exclusions(source.HERE / "exclusions.toml")
    report.line()
    found = {}
    rows = [(f"{driver} stock", theirs, []) for driver, theirs in stock.items()]
    for variant, ours in outcomes.items():
        worse = differences(stock[variant.driver], ours)
        found[str(variant)] = [one for one in worse if one.test not in exclusions]
        rows.append((str(variant), ours, found[str(variant)]))
    for row in rows:
        report.table(*row)
    report.summary(rows)
    report.differences(found)
    for test, exclusion in exclusions.items():
        if any(test in ours for ours in outcomes.values()):
            report.line(f"Left out: {test}: {exclusion.reason}")
    complete = not options.driver and not options.release
    outdated = stale(exclusions, list(outcomes.values())) if complete else []
    for test in outdated:
        report.line(report.paint(f"Passes everywhere: take {test} off exclusions.toml.", RED))
    count = sum(map(len, found.values()))
    if count or outdated:
        report.line(report.paint(f"{count} new failures.", RED))
        return 1
    tests = sum(map(len, outcomes.values()))
    report.line(
        report.paint(f"No new failure in {tests} tests of {len(outcomes)} variants.", GREEN)
    )
    return 0


def chosen_modules(options: argparse.Namespace, django: Path) -> list[str]:
    """The modules to run, as far as this Django has them."""
    wanted = options.modules or (core_modules() if options.core else all_modules())
    # "module.tests.Class" is a label too.
    known = [m for m in wanted if (django / "tests" / m.split(".")[0]).is_dir()]
    if options.modules and known != wanted:
        unknown = ", ".join(sorted(set(wanted) - set(known)))
        raise source.SourceError(f"{django.name} has no tests in {unknown}.")
    return known


def headline(baselines: Iterable[Path], modules: int) -> str:
    """What is tested, with versions and date."""
    names = "\n".join(path.stem.rpartition("_")[0].replace("_", ", ") for path in baselines)
    now = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"{now} · {modules} modules of Django's suite\n{names}"


if __name__ == "__main__":
    sys.exit(main())
