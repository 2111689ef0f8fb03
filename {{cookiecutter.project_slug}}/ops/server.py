"""What the database server says about its limits, now and to this account.

Not for judging them: config/checks.py does, and limits.py puts them beside the budget.
"""

from dataclasses import dataclass

from django.db import connections

# One statement. Session variables: `max_user_connections` is then the account's own limit, which is
# 0 where there is none, and `wait_timeout` the one this connection lives under.
LIMITS = """
    SELECT @@global.max_connections, @@session.wait_timeout, @@session.max_user_connections,
           @@global.open_files_limit, @@global.table_open_cache, @@global.thread_cache_size,
           @@global.back_log, CURRENT_USER(), @@version
"""
STATUS = """
    SHOW GLOBAL STATUS WHERE Variable_name IN
    ('Threads_connected', 'Max_used_connections', 'Connection_errors_max_connections')
"""


@dataclass(frozen=True)
class ServerLimits:
    """Limits of one server, first those of LIMITS in its order, and how much of them is in use.

    Connections, seconds, files and tables.
    """

    max_connections: int
    wait_timeout: int
    max_user_connections: int
    open_files_limit: int
    table_open_cache: int
    thread_cache_size: int
    back_log: int
    account: str
    version: str
    connections: int
    connections_of_account: int
    most_connections: int
    refused_connections: int


def ask_server(alias: str = "default") -> ServerLimits:
    """Ask the server of `alias`, with three statements on one connection.

    Raises django.db.Error if it cannot be reached.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute(LIMITS)
        *numbers, account, version = cursor.fetchone()
        cursor.execute(STATUS)
        status = {name.lower(): int(value) for name, value in cursor.fetchall()}
        # Without the PROCESS privilege an account sees its own. (MySQL 9 deprecates the table
        # information_schema.processlist, MariaDB has none in performance_schema unless it is on.)
        cursor.execute("SHOW PROCESSLIST")
        own = sum(row[1] == account.rpartition("@")[0] for row in cursor.fetchall())
    return ServerLimits(
        *map(int, numbers),
        account=account,
        version=version,
        connections=status["threads_connected"],
        connections_of_account=own,
        most_connections=status["max_used_connections"],
        refused_connections=status["connection_errors_max_connections"],
    )
