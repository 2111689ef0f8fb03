"""The process under test: reads programs, one JSON line each, and answers with what was seen.

One process for each engine, driver, mode and way of concurrency, because Django binds one driver
per process and gevent patches before anything else is imported. Started by `pair.py`; standard
error is its log. Not for running tests by itself.
"""

import json
import os
import sys

CONFIGURATION = json.loads(sys.argv[1]) if __name__ == "__main__" else {}
if CONFIGURATION.get("gevent"):
    from gevent import monkey

    monkey.patch_all()

import faulthandler  # noqa: E402 - gevent first
import logging  # noqa: E402

import django  # noqa: E402
import pymysql  # noqa: E402
from django.conf import settings  # noqa: E402

from .statements import DATABASE, PASSWORD, USER  # noqa: E402

#: Seconds after which the stacks of all threads go to the log; `pair.py` gives up a little later.
STUCK = 15


def set_up(configuration: dict) -> None:
    """Django with one alias, on stock or on the pool."""
    options: dict[str, object] = {}
    if configuration["engine"] == "mysql_pool":
        options = {
            "DRIVER": configuration["driver"],
            "RELEASE": configuration["release"],
            "MAX_CONNS": 2,
            "POOL_TIMEOUT": 1,  # nobody here waits for a slot, unless one was lost
        }
    elif configuration["driver"] == "pymysql":
        pymysql.install_as_MySQLdb()
        pymysql.version_info = (2, 2, 8, "final", 1)  # Django asks for a mysqlclient's
        for name in ("connections", "constants", "converters", "cursors"):
            sys.modules.setdefault(f"MySQLdb.{name}", getattr(pymysql, name))
    if configuration["driver"] == "pymysql":
        # Its TLS context, which a Unix socket has no use for, costs 25 ms for each connection.
        options["ssl_disabled"] = True
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": configuration["engine"],
                "NAME": DATABASE,
                "USER": USER,
                "PASSWORD": PASSWORD,
                "HOST": configuration["socket"],
                "OPTIONS": options,
            }
        },
        USE_TZ=True,
    )
    django.setup()


def main() -> None:
    """Answer until standard input ends."""
    # Whatever prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    set_up(CONFIGURATION)

    from .execute import observe
    from .scene import Scene

    scene = Scene(CONFIGURATION)
    for line in sys.stdin:
        faulthandler.dump_traceback_later(STUCK)
        seen = observe(json.loads(line), scene)
        faulthandler.cancel_dump_traceback_later()
        answers.write(json.dumps(seen, default=repr) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
