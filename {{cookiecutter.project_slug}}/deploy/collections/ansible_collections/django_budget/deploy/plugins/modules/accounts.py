#!/usr/bin/python
"""The accounts of one database: who may log in, from where, with which rights and how many
connections.
"""

DOCUMENTATION = r"""
module: accounts
short_description: Accounts of a database with their connection limits
version_added: 0.1.0
description:
  - Makes the database and its accounts what is wanted, for MySQL and MariaDB alike.
  - A password is set only when the stored one differs. Rights that are not listed are taken away.
  - Accounts of the same names from other hosts are dropped, because each would have a
    C(MAX_USER_CONNECTIONS) of its own.
options:
  database:
    description: Name of the database; made when missing, never dropped.
    type: str
    required: true
  accounts:
    description: The accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      host:
        description: Where it may log in from, V(localhost), an address or C(address/netmask).
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
      privileges:
        description: Rights on the database.
        type: list
        elements: str
        default: []
      global_privileges:
        description: Rights on the server.
        type: list
        elements: str
        default: []
      max_user_connections:
        description: The most connections at once; 0 for no limit of its own.
        type: int
        default: 0
      require_tls:
        description: Refuse connections without TLS.
        type: bool
        default: false
  only_widen:
    description:
      - Leave what an application that runs may still use. Accounts of the same names from other
        hosts are not dropped, connection limits not lowered.
    type: bool
    default: false
  read_only:
    description: Change nothing; return what there is.
    type: bool
    default: false
extends_documentation_fragment:
  - django_budget.deploy.server
"""

EXAMPLES = r"""
- name: Let the application in, with its share of the connections
  django_budget.deploy.accounts:
    database: shop
    accounts:
      - name: shop
        host: 10.0.0.12
        password: "{{ database_application_password }}"
        privileges: [SELECT, INSERT, UPDATE, DELETE]
        max_user_connections: 140
        require_tls: true
"""

RETURN = r"""
statements:
  description: What was done, without passwords.
  type: list
  elements: str
  returned: always
limits:
  description:
    - Name of each account that was there before this module ran, to its C(MAX_USER_CONNECTIONS).
  type: dict
  returned: always
"""

import hashlib
import hmac
import math

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.django_budget.deploy.plugins.module_utils import caching_sha2
from ansible_collections.django_budget.deploy.plugins.module_utils.database import (
    SOCKET_OPTION,
    connect,
    is_mariadb,
)

ACCOUNT = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "privileges": {"type": "list", "elements": "str", "default": []},
    "global_privileges": {"type": "list", "elements": "str", "default": []},
    "max_user_connections": {"type": "int", "default": 0},
    "require_tls": {"type": "bool", "default": False},
}


class Server:
    """Reads and changes accounts; collects the statements, and runs them unless `dry`."""

    def __init__(self, connection, dry, only_widen):
        self.connection, self.cursor, self.dry = connection, connection.cursor(), dry
        self.only_widen = only_widen
        self.mariadb = is_mariadb(connection)
        self.statements = []

    def query(self, sql, *values):
        self.cursor.execute(sql, values)
        return self.cursor.fetchall()

    def change(self, sql, *values, shown=None):
        self.statements.append(shown or self.cursor.mogrify(sql, values))
        if not self.dry:
            self.cursor.execute(sql, values)

    def have_database(self, name):
        if not self.query("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", name):
            self.change(f"CREATE DATABASE {quoted(name)} CHARACTER SET utf8mb4")

    def found(self, name):
        """Host -> (plugin, authentication string, ssl_type, max_user_connections) of all accounts
        of a name.
        """
        rows = self.query(
            "SELECT host, plugin, authentication_string, ssl_type, max_user_connections "
            "FROM mysql.user WHERE user = %s",
            name,
        )
        return {row[0]: row[1:] for row in rows}

    def password_is(self, password, plugin, stored):
        stored = stored.encode() if isinstance(stored, str) else bytes(stored or b"")
        if plugin == "caching_sha2_password":
            return caching_sha2.matches(stored, password)
        if plugin == "mysql_native_password":
            # The server's own form of a password; not a choice of ours.
            once = hashlib.sha1(password.encode()).digest()  # noqa: S324
            native = hashlib.sha1(once).hexdigest().upper()  # noqa: S324
            return hmac.compare_digest(stored, f"*{native}".encode())
        return False

    def have_account(self, wanted, database):
        name, host, limit = wanted["name"], wanted["host"], wanted["max_user_connections"]
        found = self.found(name)
        if host in found and self.only_widen:
            limit = max(limit, found[host][3], key=lambda n: n or math.inf)
        options = f"REQUIRE {'SSL' if wanted['require_tls'] else 'NONE'} "
        options += f"WITH MAX_USER_CONNECTIONS {limit}"
        if host not in found:
            self._set_password("CREATE", wanted, options)
        else:
            plugin, stored, ssl_type, found_limit = found[host]
            if not self.password_is(wanted["password"], plugin, stored):
                self._set_password("ALTER", wanted, options)
            elif (ssl_type == "ANY") != wanted["require_tls"] or limit != found_limit:
                self.change(f"ALTER USER %s@%s {options}", name, host)
        self._have_rights(wanted, "*.*", self._global_rights(wanted), wanted["global_privileges"])
        place = escaped(database)
        self._have_rights(
            wanted, f"{quoted(place)}.*", self._rights(wanted, place), wanted["privileges"]
        )
        for other in found:
            if other != host and not self.only_widen:
                self.change("DROP USER %s@%s", name, other)

    def _set_password(self, verb, wanted, options):
        sql = f"{verb} USER %s@%s IDENTIFIED BY %s {options}"
        shown = self.cursor.mogrify(sql, (wanted["name"], wanted["host"], "********"))
        self.change(sql, wanted["name"], wanted["host"], wanted["password"], shown=shown)

    def _global_rights(self, wanted):
        rows = self.query(
            "SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = %s",
            grantee(wanted),
        )
        return {row[0] for row in rows} - {"USAGE"}

    def _rights(self, wanted, place):
        rows = self.query(
            "SELECT privilege_type FROM information_schema.schema_privileges "
            "WHERE grantee = %s AND table_schema = %s",
            grantee(wanted),
            place,
        )
        return {row[0] for row in rows}

    def _have_rights(self, wanted, place, found, rights):
        account = (wanted["name"], wanted["host"])
        if missing := sorted(set(rights) - found):
            self.change(f"GRANT {', '.join(missing)} ON {as_parameter(place)} TO %s@%s", *account)
        if surplus := sorted(found - set(rights)):
            self.change(
                f"REVOKE {', '.join(surplus)} ON {as_parameter(place)} FROM %s@%s", *account
            )


def quoted(name):
    return "`" + name.replace("`", "``") + "`"


def escaped(name):
    """A database's name in GRANT, where `_` and `%` are wildcards: my_shop matches myxshop."""
    return name.replace("_", r"\_").replace("%", r"\%")


def as_parameter(place):
    """`place` in a statement the driver formats, where `%` begins a placeholder."""
    return place.replace("%", "%%")


def grantee(wanted):
    return f"'{wanted['name']}'@'{wanted['host']}'"


def main():
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "accounts": {"type": "list", "elements": "dict", "required": True, "options": ACCOUNT},
            "only_widen": {"type": "bool", "default": False},
            "read_only": {"type": "bool", "default": False},
            "socket": SOCKET_OPTION,
        },
        supports_check_mode=True,
    )
    connection = connect(module, module.params["socket"])
    dry = module.check_mode or module.params["read_only"]
    server = Server(connection, dry, module.params["only_widen"])
    limits = {}
    try:
        for wanted in module.params["accounts"]:
            found = server.found(wanted["name"])
            if wanted["host"] in found:
                limits[wanted["name"]] = found[wanted["host"]][3]
        server.have_database(module.params["database"])
        for wanted in module.params["accounts"]:
            server.have_account(wanted, module.params["database"])
    except connection.Error as error:
        last = server.statements[-1] if server.statements else "reading the accounts"
        module.fail_json(msg=f"{last}: {error.args[-1]}", limits=limits)
    module.exit_json(
        changed=bool(server.statements) and not module.params["read_only"],
        statements=server.statements,
        limits=limits,
        diff={"before": "", "after": "".join(f"{s};\n" for s in server.statements)},
    )


if __name__ == "__main__":
    main()
