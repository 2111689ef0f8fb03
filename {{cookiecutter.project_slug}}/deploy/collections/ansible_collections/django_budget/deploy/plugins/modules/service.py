#!/usr/bin/python
"""What a systemd service really runs with: limits of its processes as the kernel has them, not as
the unit file says.
"""

DOCUMENTATION = r"""
module: service
short_description: Effective limits of a running systemd service
version_added: 0.1.0
description:
  - Reads the main process and its children from C(/proc), and the unit's properties from
    C(systemctl show). Changes nothing.
options:
  name:
    description: The unit.
    type: str
    required: true
  variable:
    description: Name of an environment variable of the main process to return.
    type: str
  listen:
    description:
      - A TCP C(address:port), as it is listened on, or the path of a Unix socket, whose listening
        backlog is returned.
    type: str
  files:
    description: Files the main process was started with.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    support: full
author:
  - The contributors of this repository
"""

EXAMPLES = r"""
- name: See how many files the server may open
  django_budget.deploy.service:
    name: mariadb
  register: server
"""

RETURN = r"""
active:
  description: Whether the service runs.
  type: bool
  returned: always
open_files:
  description: Soft limit of open files of the main process; 0 when it does not run.
  type: int
  returned: always
worker_open_files:
  description: The lowest such limit of its children; 0 when there are none.
  type: int
  returned: always
workers:
  description: Pids of the main process's children.
  type: list
  elements: int
  returned: always
folder:
  description: Working folder of the main process, links resolved.
  type: str
  returned: always
value:
  description: The environment variable that was asked for.
  type: str
  returned: when there
backlog:
  description: Connections that may wait to be accepted; -1 when nothing listens.
  type: int
  returned: when one was asked for
newer:
  description: Those files that were changed after the main process was started.
  type: list
  elements: str
  returned: always
stop_timeout:
  description: Seconds the unit is given to stop.
  type: int
  returned: always
properties:
  description: Properties of the unit.
  type: dict
  returned: always
"""

import contextlib
import os
import re
import time

from ansible.module_utils.basic import AnsibleModule

PROPERTIES = (
    "ActiveState",
    "ExecMainStartTimestampMonotonic",
    "MainPID",
    "MemoryMax",
    "Result",
    "TasksMax",
    "TimeoutStopUSec",
)


def show(module, name):
    """Properties of a unit as systemd has them."""
    arguments = ["systemctl", "show", name, f"--property={','.join(PROPERTIES)}"]
    _rc, out, _err = module.run_command(arguments, check_rc=True)
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def open_files(pid):
    """Soft limit of open files of a process."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        for line in limits:
            if line.startswith("Max open files"):
                return int(line.split()[3])
    return 0


def environment(pid):
    """A process's environment at its start."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        entries = file.read().decode(errors="replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def children(pid):
    """Pids of the processes a process started."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def newer(files, properties):
    """Files that were changed after the main process was started."""
    age = time.monotonic() - int(properties["ExecMainStartTimestampMonotonic"]) / 1e6
    started = time.time() - age
    return [name for name in files if os.path.exists(name) and os.stat(name).st_mtime > started]


def backlog(module, listen):
    """Length of the accept queue a listening socket really got (Send-Q of `ss -l`)."""
    if listen.startswith("/"):
        # Not asked for by its name: MySQL calls the same socket /var/run/mysqld/mysqld.sock.
        _rc, out, _err = module.run_command(["ss", "-nHlx"], check_rc=True)
        sockets = [line.split() for line in out.splitlines()]
        wanted = os.path.realpath(listen)
        return next((int(s[3]) for s in sockets if os.path.realpath(s[4]) == wanted), -1)
    # The address counts too: after a host's first neighbour, 127.0.0.1 is the wrong one.
    _rc, out, _err = module.run_command(["ss", "-nHlt"], check_rc=True)
    sockets = [line.split() for line in out.splitlines()]
    return next((int(s[2]) for s in sockets if s[3] == listen), -1)


def seconds(span):
    """Seconds of a time span as systemctl prints it: `40s`, `1min 30s`; -1 for none."""
    units = {"h": 3600, "min": 60, "s": 1, "ms": 0}
    parts = re.findall(r"(\d+)(h|min|ms|s)\b", span)
    return sum(int(number) * units[unit] for number, unit in parts) if parts else -1


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "variable": {"type": "str"},
            "listen": {"type": "str"},
            "files": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    properties = show(module, module.params["name"])
    pid = int(properties["MainPID"])
    result = {"properties": properties, "active": properties["ActiveState"] == "active"}
    result["stop_timeout"] = seconds(properties.get("TimeoutStopUSec", ""))
    result |= {"open_files": 0, "worker_open_files": 0, "workers": [], "folder": ""}
    result["newer"] = newer(module.params["files"], properties) if pid else []
    # The process may end while it is looked at; then it does not run.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if pid:
            result["open_files"] = open_files(pid)
            result["workers"] = children(pid)
            result["worker_open_files"] = min(map(open_files, result["workers"]), default=0)
            result["folder"] = os.path.realpath(f"/proc/{pid}/cwd")
            value = environment(pid).get(module.params["variable"] or "")
            result |= {} if value is None else {"value": value}
    if module.params["listen"]:
        result["backlog"] = backlog(module, module.params["listen"])
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
