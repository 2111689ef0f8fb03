"""`make bench`: who is how fast at what, and at how many connections.

    make bench                                      about ten minutes
    make bench ARGS=--full                          all workloads at 1, 2 and 10 times the pool
    make bench ARGS="--crowd --seconds 8"           from 200 to 4,000 clients: five minutes
    make bench ARGS="--host --seconds 6"            one bound for a whole host: two minutes
    make bench ARGS="--peers ours-pymysql,sqlalchemy --workloads row --rounds 6"
    make bench ARGS="--output docs/reference/benchmarks"    also what the documentation shows

Exits with 0 when everything was measured, whoever won; with 1 if one of ours broke; with 130 after
Ctrl-C. Whatever happens, nothing is left running.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import goals, inside, peers, plots, report, serving, workloads
from benchmarks.bench import Bench
from benchmarks.load import LoadError
from benchmarks.results import Run, about
from localserver.programs import ServerError
from localserver.server import Server

HERE = Path(__file__).parent
QUICK_PEERS = [peer.name for peer in peers.ALL if not peer.name.endswith("-request")]

RELOADS = 10

started = time.monotonic()


def main() -> int:
    arguments = parse()
    if arguments.show:
        show(Run.load(arguments.show), arguments.output)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    scratch = Path(tempfile.mkdtemp(prefix="bench."))
    try:
        if not shutil.which("wrk"):
            raise LoadError("wrk is needed: ./bootstrap.sh wrk, or make bench, which installs it")
        run = measure(arguments, scratch)
    except KeyboardInterrupt:
        say("interrupted; everything was stopped and removed")
        return 128 + signal.SIGINT
    except (LoadError, ServerError) as error:
        say(str(error))
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    run.save(arguments.output / "results.json")
    show(run, arguments.output)
    say(f"written: {arguments.output}: results.json, report.txt and the plots")
    return 1 if any(name.startswith("ours") for name in run.broken) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--full", action="store_true", help="every workload, kind of client and number of clients")
    add("--crowd", action="store_true", help="only what a request costs when thousands wait")
    add("--host", action="store_true", help="only a host's connections: fixed shares, or one bound")
    add("--peers", help=f"some of: {','.join(peers.BY_NAME)}")
    add("--workloads", help=f"some of: {','.join(workloads.BY_NAME)}; or none")
    add("--clients", type=int, help="so many, instead of 1 to 10 times the pool")
    add("--rounds", type=int, default=2, help="how often each peer has its turn (2)")
    add("--seconds", type=float, default=2, help="of one measurement, whole seconds (2)")
    add("--no-fairness", action="store_true", help="leave out the 100 clients that are told apart")
    add("--no-micro", action="store_true", help="leave out what is measured inside one process")
    add("--python", default=str(HERE / ".venv" / "bin" / "python"), help="has the peers' packages")
    add("--output", type=Path, default=HERE / "results", help="folder for the JSON and the plots")
    add("--show", type=Path, metavar="JSON", help="print and draw an earlier run again")
    arguments = parser.parse_args()
    for value, known in (
        (arguments.peers, peers.BY_NAME),
        (arguments.workloads, {**workloads.BY_NAME, "none": None}),
    ):
        unknown = set((value or "").split(",")) - {"", *known}
        if unknown:
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return arguments


def measure(arguments: argparse.Namespace, scratch: Path) -> Run:
    cells = workloads.full() if arguments.full else workloads.quick()
    if arguments.crowd:
        cells = workloads.crowd()
    if arguments.host:
        cells = workloads.host()
    if arguments.workloads:
        cells = [c for c in cells if c.workload.name in arguments.workloads.split(",")]
    if arguments.clients:
        cells = list(
            dict.fromkeys(
                workloads.Cell(c.workload, arguments.clients, c.keep_alive) for c in cells
            )
        )
    default = [peer.name for peer in peers.ALL] if arguments.full else QUICK_PEERS
    if arguments.crowd:
        default = [*goals.OURS, *goals.AS_GENERATED]
    if arguments.host:
        default = [peer.name for peer in peers.HOSTS]
    names = arguments.peers.split(",") if arguments.peers else default
    chosen = [peers.BY_NAME[name] for name in names]
    say("a private database server")
    # A tmpdir of its own: on a busy /tmp, servers of several containers delete each other's files.
    (scratch / "tmp").mkdir()
    options = {**serving.SERVER_OPTIONS, "tmpdir": str(scratch / "tmp")}
    with Server(scratch / "server", options) as server:
        serving.prepare(server)
        run = Run(about(server.sql("SELECT VERSION()")[0][0], arguments.python))
        bench = Bench(server, arguments.python, scratch, run)
        if not (arguments.no_micro or arguments.crowd or arguments.host):
            for peer in chosen:
                if peer.name in inside.MEASURED:
                    say(f"inside one process: {peer.title}")
                    inside.measure(peer, arguments.python, server.socket, run)
            measure_tls([peer for peer in chosen if peer.ours], arguments, scratch, options, run)
        bench.rounds(
            chosen,
            cells,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            fair=not (arguments.no_fairness or arguments.crowd or arguments.host),
            tell=say,
        )
        if arguments.host:
            for peer in chosen:
                if peer.ledger:
                    say(f"{RELOADS} reloads under load: {peer.title}")
                    bench.reload(peer, RELOADS, pause=3)
    return run


def measure_tls(ours, arguments, scratch: Path, options: dict[str, str], run: Run) -> None:
    """Connecting with TLS: to a server of its own, because the drivers use what a server offers."""
    certificate = inside.certificate(scratch)
    if certificate is None:
        say("without openssl there is no certificate: connecting with TLS is not measured")
        return
    key = certificate.with_name("key.pem")
    options = {**options, "ssl_cert": str(certificate), "ssl_key": str(key)}
    with Server(scratch / "tls", options) as server:
        serving.prepare(server)
        for peer in ours:
            if peer.name in inside.MEASURED:
                say(f"connecting with TLS: {peer.title}")
                inside.measure(peer, arguments.python, server.socket, run, certificate)


def show(run: Run, folder: Path) -> None:
    text = f"{goals.text(run)}\n\n{report.text(run)}\n"
    print(text, flush=True)
    plots.draw(run, folder)
    (folder / "report.txt").write_text(text)  # docs/reference/benchmarks.md includes it


def say(text: str) -> None:
    print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
