"""Documentation that `accounts` and `server_variables` share: how they reach the server."""


class ModuleDocFragment:
    """`extends_documentation_fragment: django_budget.deploy.server`."""

    DOCUMENTATION = r"""
options:
  socket:
    description: The server's Unix socket, where root is let in without a password.
    type: path
    default: /run/mysqld/mysqld.sock
attributes:
  check_mode:
    description: Can run in check mode and says what it would change, without changing it.
    support: full
  diff_mode:
    description: Shows what it changes, or would change, in diff mode.
    support: full
requirements:
  - python3-pymysql on the host
author:
  - The contributors of this repository
"""
