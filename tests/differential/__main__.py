"""``python -m tests.differential``: random programs on stock Django and on mysql_pool.

Exit status 0: no difference. 1: a program differs; it is printed, as small as it could be made.
2: it could not be found out. 130: Ctrl-C.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from .compare import Differs, check, differences, report
from .faults import FAULTS, ONLY
from .pair import POOL, VARIANTS, BrokenTest, Pair, Variant, private_server
from .search import search

from localserver.programs import ServerError  # isort: skip - importable since .pair

#: Programs of one variant before it is the next one's turn.
ROUND = 100
CLEAR = "\r\033[K" if sys.stdout.isatty() else "\n"


def main() -> int:
    """Parse the command line; keep the exit codes above."""
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell starts a background job with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pool = options.pool.resolve()
    if not (pool / "mysql_pool" / "__init__.py").is_file():
        parser().error(f"--pool: there is no folder mysql_pool in {pool}")
    variants = [
        variant
        for variant in VARIANTS
        if options.driver in (None, variant.driver)
        and options.release in (None, variant.release)
        and options.concurrency in (None, variant.concurrency)
    ]
    if not variants:
        parser().error("no variant is left")
    try:
        with private_server() as server:
            pairs = [
                Pair(variant, server, pool, stock_twice=options.stock_twice) for variant in variants
            ]
            try:
                if options.program:
                    return run_one(json.loads(options.program), pairs)
                if options.faults:
                    return run_faults(pairs)
                return run_random(pairs, options)
            finally:
                for pair in pairs:
                    pair.end()
    except KeyboardInterrupt:
        print("\nInterrupted; the server and the workers are stopped.", flush=True)
        return 128 + signal.SIGINT
    except (ServerError, BrokenTest, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    top.add_argument("--minutes", type=float, default=10, help="how long (default: %(default)s)")
    top.add_argument("--seed", type=int, default=0, help="decides which programs (%(default)s)")
    top.add_argument("--driver", choices=["pymysql", "mysqlclient"], help="only this one")
    top.add_argument("--release", choices=["transaction", "request"], help="only this one")
    top.add_argument("--concurrency", choices=["gevent", "threads"], help="only this one")
    top.add_argument("--pool", type=Path, default=POOL, help="the folder that holds mysql_pool/")
    top.add_argument(
        "--stock-twice", action="store_true", help="stock beside itself: what is no fault of a pool"
    )
    top.add_argument("--keep-going", action="store_true", help="go on after a difference")
    top.add_argument("--faults", action="store_true", help="the fixed programs; no random ones")
    top.add_argument("--program", metavar="JSON", help="this program only, as a report prints it")
    return top


def run_one(program: list, pairs: list[Pair]) -> int:
    """One program, in all chosen variants."""
    code = 0
    for pair in pairs:
        found = differences(program, *pair.run(program), pair.variant)
        code = 1 if found else code
        print(report(program, pair.variant, found, 40) if found else f"{pair.variant}: the same")
    return code


def run_faults(pairs: list[Pair]) -> int:
    """The fixed programs; a line for each that differs."""
    code = 0
    for pair in pairs:
        count = 0
        for name, program in FAULTS.items():
            try:
                check(program, pair, ONLY.get(name, ()))
            except Differs as differs:
                one = differs.found[0]
                print(f"{pair.variant}: {name}: {one.where}: {one.stock} -> {one.pool}"[:240])
                count += 1
        print(f"{pair.variant}: {count} of {len(FAULTS)} differ", flush=True)
        code = 1 if count else code
    return code


def run_random(pairs: list[Pair], options: argparse.Namespace) -> int:
    """Rounds of random programs, each variant in its turn, until the time is over."""
    began, end = time.monotonic(), time.monotonic() + options.minutes * 60
    programs = found = turn = 0
    told = 0.0

    def tell() -> None:
        nonlocal programs, told
        programs += 1
        now = time.monotonic()
        if now - told < 1:
            return
        told = now
        print(
            f"{CLEAR}{(now - began) / 60:.1f} of {options.minutes:g} min, {programs} programs, "
            f"{found} differences; seed {options.seed}; now: {pair.variant}",
            end="",
            flush=True,
        )

    while time.monotonic() < end:
        pair = pairs[turn % len(pairs)]
        try:
            search(pair, options.seed * 10_000 + turn // len(pairs), ROUND, end, tell)
        except Differs as differs:
            found += 1
            seconds = time.monotonic() - began
            print(f"{CLEAR}After {seconds:.0f} s and {programs} programs: {differs}")
            print(f"\nRun it again:\n{again(differs, options)}\n", flush=True)
            if not options.keep_going:
                return 1
        turn += 1
    print(f"{CLEAR}{programs} programs, {found} differences; seed {options.seed}", flush=True)
    return 1 if found else 0


def again(differs: Differs, options: argparse.Namespace) -> str:
    """The command that runs this one program."""
    variant: Variant = differs.variant
    program = json.dumps(differs.program).replace("'", "'\\''")
    where = "" if options.pool == POOL else f" --pool '{options.pool}'"
    return (
        f"python -m tests.differential --driver {variant.driver} --release {variant.release}"
        f" --concurrency {variant.concurrency}{where} --program '{program}'"
    )


if __name__ == "__main__":
    sys.exit(main())
