"""The database and accounts that `run` makes for a command, and the variables that lead to them.

Not for the administrator: `Server` knows that account, and it has no password.
"""

import json
import secrets

from localserver.programs import ServerError
from localserver.server import Server

#: What the application needs at run time; the migrating account changes tables. In production the
#: role `database` grants both lists (``database_rows``, ``database_tables``), so that a migration
#: that is not allowed there fails here first. tests/deploy/test_agreement.py compares them.
APPLICATION_PRIVILEGES = "SELECT, INSERT, UPDATE, DELETE"
MIGRATION_PRIVILEGES = (
    "ALTER, CREATE, CREATE TEMPORARY TABLES, CREATE VIEW, DELETE, DROP, INDEX, INSERT, "
    "LOCK TABLES, REFERENCES, SELECT, SHOW VIEW, TRIGGER, UPDATE"
)

#: ``NAME_migrate`` is the account that may change tables.
MIGRATION_SUFFIX = "_migrate"

#: The file in the server's folder in which `run --join` finds the accounts of the other `run`.
FILE = "accounts.json"


def make(server: Server, name: str, limit: int, *, tests: bool) -> dict[str, str]:
    """Create database and accounts; return the environment that leads a project to them.

    ``limit`` is the application account's MAX_USER_CONNECTIONS (0: none): the server itself then
    holds the bound. ``tests`` makes one account for a test runner, which creates and drops
    databases. Passwords are new at every call. Raises `ServerError`.
    """
    password, migrate_password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    migrate_user = name + MIGRATION_SUFFIX
    server.ensure_database(name)
    if tests:
        # `test_NAME`, `test_NAME_gw0`: the databases Django's test runner makes.
        server.ensure_account(name, password, f"test_{name}%", limit)
        server.sql(f"GRANT ALL ON `{name}`.* TO '{name}'@'%'")
        migrate_user, migrate_password = name, password
    else:
        server.ensure_account(
            name,
            password,
            name,
            max_user_connections=limit,
            privileges=APPLICATION_PRIVILEGES,
        )
        server.ensure_account(migrate_user, migrate_password, name, privileges=MIGRATION_PRIVILEGES)
    environment = {
        "DATABASE_URL": "",  # tests must not follow the developer's, in .env for example
        "DB_HOST": server.socket,
        "DB_PORT": "",
        "DB_NAME": name,
        "DB_USER": name,
        "DB_PASSWORD": password,
        "DB_MIGRATE_USER": migrate_user,
        "DB_MIGRATE_PASSWORD": migrate_password,
    }
    # The folder is its owner's alone, and so is the file.
    path = server.folder / FILE
    path.touch(mode=0o600)
    path.write_text(json.dumps(environment, indent=1) + "\n")
    return environment


def read(server: Server) -> dict[str, str]:
    """The environment that `make` returned for the server that runs in this folder.

    Raises `ServerError` if there is none, for example because that server is still starting.
    """
    try:
        return dict(json.loads((server.folder / FILE).read_text()))
    except (OSError, ValueError) as error:
        raise ServerError(
            f"The running server's accounts cannot be read ({error}): it may still be starting."
        ) from error
