"""Times the pool from inside the project: prints the seconds of each checkout as JSON.

Run by the project's own Python (`Project.python`), with the project's settings and pool.
"""

import json
import os
import time

import django
from django.db import connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()


def first_statement() -> float:
    """Seconds from "a request wants the database" to its first answer; then give it back."""
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


print(json.dumps([first_statement() for _ in range(1001)]))
