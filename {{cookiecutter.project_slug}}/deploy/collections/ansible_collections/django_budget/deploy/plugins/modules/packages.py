#!/usr/bin/python
"""Whether apt could install some packages, found out without changing anything on the host."""

DOCUMENTATION = r"""
module: packages
short_description: Ask apt whether it could install packages
version_added: 0.1.0
description:
  - Simulates the installation (C(apt-get --simulate)), which finds unknown packages, packages of
    which no release has a version, releases that are no source, and conflicts.
  - Package lists that are missing or old may be the only reason. So before it says no, it reads
    the lists anew, into a folder of its own that is removed again. The host's own stay as they are.
options:
  names:
    description: The packages.
    type: list
    elements: str
    required: true
  default_release:
    description: Release to take them from, for apt's C(-t).
    type: str
    default: ""
attributes:
  check_mode:
    support: full
author:
  - The contributors of this repository
"""

EXAMPLES = r"""
- name: See whether this host has a source for MySQL
  django_budget.deploy.packages:
    names: [mysql-server]
  register: apt
"""

RETURN = r"""
refused:
  description: apt's reasons in one line; empty when it could install them all.
  type: str
  returned: always
"""

import os
import shutil
import tempfile

from ansible.module_utils.basic import AnsibleModule

# Nothing is kept of what apt works out on the way, so nothing is left on the host.
NO_CACHE = ["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]


def refusal(module, names, default_release, options):
    """apt's reasons not to install `names`, in one line."""
    release = ["-t", default_release] if default_release else []
    command = ["apt-get", "--simulate", "--quiet=2", "--no-install-recommends", "--no-upgrade"]
    rc, out, err = module.run_command([*command, *NO_CACHE, *options, *release, "install", *names])
    return reasons(err or out) or f"apt-get ended with {rc}" if rc else ""


def reasons(text):
    """The sentences of apt's errors, without their mark."""
    lines = [line.strip() for line in text.splitlines()]
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    return "; ".join(error.rstrip(".") for error in errors)


def with_new_lists(module, names, default_release):
    """The same with the package lists as the sources have them now."""
    folder = tempfile.mkdtemp(prefix="apt-lists-")
    try:
        # apt downloads as its own user, who has to get in; there is nothing private in a list.
        os.chmod(folder, 0o755)  # noqa: S103
        os.mkdir(os.path.join(folder, "partial"))
        options = ["-o", f"Dir::State::lists={folder}", "-o", "APT::Sandbox::User=root"]
        _rc, _out, err = module.run_command(
            ["apt-get", "update", "--quiet=2", "--error-on=any", *NO_CACHE, *options]
        )
        refused = refusal(module, names, default_release, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "; ".join(filter(None, (refused, reasons(err)))) if refused else ""


def main():
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "default_release": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    # Its messages are read here, in the language they are looked for.
    module.run_command_environ_update = {"LC_ALL": "C.UTF-8"}
    wanted = module.params["names"], module.params["default_release"]
    refused = refusal(module, *wanted, [])
    if refused:
        refused = with_new_lists(module, *wanted)
    module.exit_json(changed=False, refused=refused)


if __name__ == "__main__":
    main()
