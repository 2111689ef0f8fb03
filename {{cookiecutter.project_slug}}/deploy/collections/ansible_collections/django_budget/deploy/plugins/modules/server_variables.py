#!/usr/bin/python
"""Brings the global variables of a running MySQL or MariaDB server to wanted values, without a
restart where it can.

community.mysql.mysql_variables (ansible.mysql and ansible.mariadb in newer releases) sets one
variable a task, fails on those the server only reads at start, and writes `64M` and `67108864` as
different; a deploy needs all of them in one look, and the list of those a restart is needed for.
"""

DOCUMENTATION = r"""
module: server_variables
short_description: Compare and set global variables of the running database server
version_added: 0.1.0
description:
  - Compares wanted values with C(SHOW GLOBAL VARIABLES) and sets those that differ.
  - Variables the server reads only at start are returned in RV(restart_needed); nothing is
    restarted here.
options:
  variables:
    description: Wanted values by name. Sizes may be written as V(64M), switches as V(ON) or V(1).
    type: dict
    required: true
  at_least:
    description:
      - Names for which more is right too, a larger number or further entries of a list, because
        less is not worth a restart. Of the server's files the wanted value itself is expected.
    type: list
    elements: str
    default: []
  program:
    description:
      - The server's program. It is asked which of the wanted values its files have, as
        RV(after_restart).
    type: str
extends_documentation_fragment:
  - django_budget.deploy.server
"""

EXAMPLES = r"""
- name: Bring the running server to the budget
  django_budget.deploy.server_variables:
    variables:
      max_connections: 151
      innodb_buffer_pool_size: 640M
  register: server
"""

RETURN = r"""
running:
  description: The values of the wanted variables in the running server, after this module.
  type: dict
  returned: always
restart_needed:
  description: Names whose wanted value the server takes over only at a restart.
  type: list
  elements: str
  returned: always
after_restart:
  description:
    - Wanted variables for which the server's files, or values kept with C(SET PERSIST), say
      something else, which a restart brings.
  type: dict
  returned: when a program was given
version:
  description: The server's version.
  type: str
  returned: always
"""

import contextlib
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.django_budget.deploy.plugins.module_utils.database import (
    SOCKET_OPTION,
    connect,
)

UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}
SWITCHES = {"ON": 1, "OFF": 0, "TRUE": 1, "FALSE": 0, "YES": 1, "NO": 0}
READ_ONLY_VARIABLE = 1238
UNKNOWN_VARIABLE = 1193


def comparable(value):
    """A number where the value is one (sizes and switches too), else the text itself."""
    text = str(value).strip()
    if text.upper() in SWITCHES:
        return SWITCHES[text.upper()]
    if text[-1:].upper() in UNITS and text[:-1].isdigit():
        return int(text[:-1]) * UNITS[text[-1].upper()]
    with contextlib.suppress(ValueError):
        return float(text)
    return text


def agrees(name, wanted, running, at_least=()):
    """Whether a running value is what is wanted."""
    if running is None:
        return False
    wanted, running = comparable(wanted), comparable(running)
    if name in at_least and isinstance(wanted, str) and isinstance(running, str):
        return set(wanted.split(",")) <= set(running.split(","))
    if name in at_least and isinstance(wanted, (int, float)) and isinstance(running, (int, float)):
        return running >= wanted
    return wanted == running


def read(cursor, names):
    """The running values of `names`."""
    cursor.execute("SHOW GLOBAL VARIABLES")
    return {name: value for name, value in cursor.fetchall() if name in names}


def at_start(defaults, persisted):
    """Values by name that the server starts with, from its program's --print-defaults and from SET
    PERSIST; the last of a name counts.
    """
    # Values are not quoted there: one that has spaces goes on to the next option.
    _program, *options = re.split(r"\s--(?=\w)", defaults.strip())
    options = [option.partition("=") for option in options]
    values = {}
    for name, equals, value in options:
        name = name.replace("-", "_").removeprefix("loose_")
        if not equals and name.startswith(("disable_", "skip_")) and name != "skip_name_resolve":
            name, equals, value = name.partition("_")[2], "=", "OFF"
        values[name] = value if equals else "ON"
    return values | persisted


def persisted(cursor, names):
    """What SET PERSIST has written; MariaDB knows no such thing."""
    cursor.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = 'performance_schema' "
        "AND table_name = 'persisted_variables'"
    )
    if not cursor.fetchall():
        return {}
    cursor.execute("SELECT * FROM performance_schema.persisted_variables")
    return {row[0]: row[1] for row in cursor.fetchall() if row[0] in names}


def main():
    module = AnsibleModule(
        argument_spec={
            "variables": {"type": "dict", "required": True},
            "at_least": {"type": "list", "elements": "str", "default": []},
            "program": {"type": "str"},
            "socket": SOCKET_OPTION,
        },
        supports_check_mode=True,
    )
    wanted, at_least = module.params["variables"], module.params["at_least"]
    connection = connect(module, module.params["socket"])
    cursor = connection.cursor()
    before = read(cursor, wanted)
    different = [n for n in wanted if not agrees(n, wanted[n], before.get(n), at_least)]
    changed, restart_needed = [], []
    for name in different:
        if module.check_mode:
            changed.append(name)
            continue
        try:
            cursor.execute(f"SET GLOBAL `{name}` = %s", (comparable_for_set(wanted[name]),))
            changed.append(name)
        except connection.Error as error:
            if error.args[0] not in (READ_ONLY_VARIABLE, UNKNOWN_VARIABLE):
                module.fail_json(msg=f"SET GLOBAL {name} = {wanted[name]}: {error.args[1]}")
            restart_needed.append(name)
    after = read(cursor, wanted)
    result = {}
    if module.params["program"]:
        command = [module.get_bin_path(module.params["program"], True, ["/usr/sbin"])]
        _rc, out, _err = module.run_command([*command, "--print-defaults"], check_rc=True)
        kept = at_start(out, persisted(cursor, wanted))
        result["after_restart"] = {
            name: kept.get(name, "its default")
            for name in wanted
            if not agrees(name, wanted[name], kept.get(name))
        }
    module.exit_json(
        **result,
        changed=bool(changed),
        running=after,
        restart_needed=restart_needed,
        version=connection.get_server_info(),
        diff={
            "before": "".join(f"{n} = {before.get(n)}\n" for n in different),
            "after": "".join(f"{n} = {wanted[n]}\n" for n in different),
        },
    )


def comparable_for_set(value):
    """The value as SET GLOBAL takes it: whole numbers as such, sizes in bytes, the rest as text."""
    number = comparable(value)
    if isinstance(number, float):
        return int(number) if number.is_integer() else number
    return number


if __name__ == "__main__":
    main()
