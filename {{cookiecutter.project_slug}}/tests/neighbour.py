"""Another process that uses the pool, for tests: `python -m tests.neighbour CONNECTIONS`.

Each connection is held until a line comes on standard input; at the end of the input it ends.
"""

import os
import sys
import threading

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.hosted"
django.setup()

from django.db import connection, transaction  # noqa: E402

let_go = threading.Event()


def hold(has_it: threading.Barrier) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        has_it.wait()
        let_go.wait()
    connection.close()


def main() -> None:
    number = int(sys.argv[1])
    has_it = threading.Barrier(number + 1)
    holders = [threading.Thread(target=hold, args=(has_it,), daemon=True) for _ in range(number)]
    for holder in holders:
        holder.start()
    has_it.wait()
    print("holds", flush=True)
    sys.stdin.readline()
    let_go.set()
    for holder in holders:
        holder.join()
    print("has let go", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
