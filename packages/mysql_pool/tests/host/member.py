"""A process that uses the pool, for tests of a host with several: `python member.py OPTIONS`.

It obeys lines of its standard input: ``clients 30 0.05`` has 30 clients ask again and again, each
for 0.05 s; ``clients 0 0`` lets them end; ``main 20`` asks 20 times in the main thread; ``fork 3``
forks 3 children that ask in theirs; ``interrupt 300`` asks in the main thread until a signal
handler has raised 300 exceptions there; ``quit`` ends. After each line, and with ``tell``, it
prints what it has done as a line of JSON.
"""

import sys

if "--threads" not in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import argparse
import json
import os
import random
import signal
import threading
import time
import traceback
from collections import Counter

import django
from django.conf import settings
from django.db import connection

import mysql_pool

parser = argparse.ArgumentParser()
parser.add_argument("--threads", action="store_true")
parser.add_argument("--url", required=True, help="socket,user,password,database")
parser.add_argument("--options", required=True, help="OPTIONS as JSON")
arguments = parser.parse_args()

socket, user, password, database = arguments.url.split(",")
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "mysql_pool",
            "NAME": database,
            "USER": user,
            "PASSWORD": password,
            "HOST": socket,
            "CONN_MAX_AGE": 60,
            "OPTIONS": json.loads(arguments.options),
        }
    },
    USE_TZ=True,
)
django.setup()

answers = 0
errors: Counter[str] = Counter()
first_answer: list[float] = []
generation = 0
children: list[int] = []


def client(mine: int, seconds: float) -> None:
    global answers
    begun = time.monotonic()
    while generation == mine:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT SLEEP(%s)", [seconds])
                cursor.fetchall()
            answers += 1
            if not first_answer:
                first_answer.append(time.monotonic() - begun)
        except Exception as error:
            errors[f"{type(error).__name__}: {error}"[:120]] += 1
            time.sleep(0.01)
    connection.close()


def ask(seconds: float = 0) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(%s)", [seconds])
        cursor.fetchall()


def ask_in_main_thread(number: int) -> None:
    global answers
    for _ in range(number):
        ask()
        connection.close_if_unusable_or_obsolete()
        answers += 1


def fork(number: int) -> None:
    global generation
    for _ in range(number):
        pid = os.fork()
        if pid:
            children.append(pid)
            continue
        generation += 1  # gevent: the parent's clients go on here
        try:
            while True:
                ask(0.01)
                connection.close()
                mysql_pool.close_pool()  # so that its record tells of each one
        except BaseException:
            traceback.print_exc()  # to the member's log; nobody else would tell
        finally:
            os._exit(1)


class SoftLimitError(BaseException):
    """As Celery's SoftTimeLimitExceeded, but nobody takes it for an error of the database."""


def strike(signum: int, frame: object) -> None:
    raise SoftLimitError


def interrupt(times: int) -> None:
    """At random moments of a connection's life: opened, used, given back and closed."""
    signal.signal(signal.SIGALRM, strike)
    while times:
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.01))
                while True:
                    ask()
                    connection.close()
                    mysql_pool.close_pool()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except SoftLimitError:
            times -= 1
        except Exception as error:
            errors[f"{type(error).__name__}: {error}"[:120]] += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


def serve_clients(number: int, seconds: float) -> None:
    global generation
    generation += 1
    first_answer.clear()
    for _ in range(number):
        threading.Thread(target=client, args=(generation, seconds), daemon=True).start()


def tell() -> None:
    stats = mysql_pool.stats().get("default", {})
    stats = {name: stats.get(name) for name in ("max_conns", "open", "in_use", "idle", "waiting")}
    first = first_answer[0] if first_answer else None
    line = json.dumps(
        {
            "pid": os.getpid(),
            "answers": answers,
            "errors": errors,
            "first": first,
            "children": children,
            **stats,
        }
    )
    os.write(1, line.encode() + b"\n")


def obey(lines: list[str]) -> None:
    for line in lines:
        command, *words = line.split()
        if command == "quit":
            sys.exit()
        if command == "clients":
            serve_clients(int(words[0]), float(words[1]))
        elif command == "main":
            ask_in_main_thread(int(words[0]))
        elif command == "fork":
            fork(int(words[0]))
        elif command == "interrupt":
            interrupt(int(words[0]))
        tell()


def main() -> None:
    if arguments.threads:
        for line in sys.stdin:
            obey([line])
        return
    from gevent.fileobject import FileObjectThread

    for line in FileObjectThread(sys.stdin.buffer, "rb"):
        obey([line.decode()])


if __name__ == "__main__":
    main()
