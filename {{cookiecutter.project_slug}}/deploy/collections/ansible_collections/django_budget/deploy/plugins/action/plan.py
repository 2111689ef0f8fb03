"""Works out everything a deploy needs to know from the inventory and the budget, and refuses before
anything is changed.

All problems are reported in one message: unknown or mistyped variables, empty groups, missing
secrets, a release that git does not have, a budget that does not fit the number of hosts. The
arithmetic is the project's own `budget` package (the copy in this collection where there is no
project); it is run, not imported, so that the deploy computes what the application will compute,
with nothing else of this process around it.
"""

import difflib
import ipaddress
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible.plugins.action import ActionBase

COLLECTION = Path(__file__).resolve().parents[2]
OWN_BUDGET = COLLECTION / "plugins" / "plugin_utils"
# Role -> inventory group whose hosts it is for.
ROLES = {
    "plan": "all",
    "host": "all",
    "database": "database",
    "application": "application",
    "nginx": "nginx",
}
# What begins so is ours. Not `host_`: that is a name anybody may have given something.
PREFIXES = tuple(f"{role}_" for role in ROLES if role != "host")
# The longest account name is <user>_monitor, and MySQL stops at 32 characters.
LONGEST_USER = 32 - len("_monitor")
LOCKFILE = "requirements.lock"
# The system user, folders below /etc and /srv, units and accounts are called so.
NAME = re.compile(r"[a-z][a-z0-9_-]*")
TAKEN = {"mysql", "mariadb", "nginx", "root", "ssh", "sys", "systemd", "ssl", "apt", "default"}
# Options by the end of their name: the smallest and the largest that has a meaning. An account with
# 0 connections has no limit of its own.
RANGES = {"_port": (1, 65_535), "_connections": (1, 10_000), "_seconds": (0, 31_536_000)}
# Of the plan's limits the youngest, which a project that was generated long ago does not compute.
YOUNGEST = ("app_tasks_max", "app_memory_max_mb", "nginx_worker_connections", "server_memtotal_mb")


class ActionModule(ActionBase):
    """`plan:` with the `hosts`-independent arguments below; gives `plan`, `release`, `addresses`
    and more.
    """

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("project", "budget_file", "numbers", "version", "name"))

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = self._task.args
        groups, hostvars = task_vars["groups"], task_vars["hostvars"]
        problems = [
            *group_problems(groups),
            *name_problems(arguments["name"]),
            *self._variable_problems(groups, hostvars),
            *address_problems(groups, hostvars),
        ]
        project = Path(arguments["project"])
        plan, unfit = compute(project, arguments, len(groups.get("application", [])))
        release, unknown = find_release(project, arguments["version"])
        problems += [*unfit, *unknown]
        if not problems:
            problems += room_problems(plan, hostvars, groups)
        if problems:
            raise AnsibleActionFail(told(problems))
        result.update(changed=False, plan=plan, release=release, **topology(groups, hostvars))
        return result

    def _variable_problems(self, groups, hostvars):
        """What is wrong with the variables of each role, on the hosts it is for; each sentence
        once.
        """
        specs = {role: argument_spec(role) for role in ROLES}
        known = {name for spec in specs.values() for name in spec}
        ignored = {name for role in (*ROLES, "verify") for name in own_facts(role)}
        found, wrong, no_secret = {}, {}, set()
        for role, group in ROLES.items():
            for host in groups.get(group, []):
                given = self._templated(hostvars[host], known)
                for name in sorted(set(hostvars[host]) - known - ignored):
                    if sentence := misspelt(name, known):
                        found[sentence] = None
                no_secret |= {
                    name for name in specs[role] if is_secret(name) and not given.get(name)
                }
                spec = {name: each for name, each in specs[role].items() if not is_secret(name)}
                mine = {name: given[name] for name in spec if name in given}
                for sentence in value_problems(spec, mine):
                    wrong.setdefault((sentence, role), []).append(host)
        if no_secret:
            found[
                f"missing secrets: {', '.join(sorted(no_secret))}. Make them with `make secrets`"
            ] = None
        return list(found) + [
            f"{sentence} (role {role}, {', '.join(hosts)})"
            for (sentence, role), hosts in wrong.items()
        ]

    def _templated(self, variables, names):
        values = {}
        for name in names & set(variables):
            try:
                values[name] = self._templar.template(variables[name])
            except Exception:  # noqa: S112 - needs facts of a later play; its role looks again
                continue
        return values


def told(problems):
    """All problems as one message."""
    lines = [f"{number}. {problem}" for number, problem in enumerate(problems, 1)]
    return "Nothing was changed. To be put right first:\n" + "\n".join(lines)


def group_problems(groups):
    """The groups the playbooks work with."""
    if not groups.get("application"):
        yield "the inventory's group [application] is empty: name at least one host there"
    if len(groups.get("database", [])) != 1:
        found = ", ".join(groups.get("database", [])) or "none"
        yield f"the inventory's group [database] needs exactly one host, it has: {found}"
    if not groups.get("nginx"):
        yield "the inventory's group [nginx] is empty: name the host that takes the requests there"


def name_problems(name):
    """What is wrong with the application's name."""
    if len(name) > LONGEST_USER:
        yield (
            f"application_name {name!r} is longer than {LONGEST_USER} characters, which the name "
            "of an account on the database server has room for"
        )
    if not NAME.fullmatch(name):
        yield (
            f"application_name {name!r} is no name for a user, folders and units: small letters, "
            "digits, _ and -, a letter first"
        )
    if name in TAKEN:
        yield f"application_name {name!r} belongs to the system: /etc/{name} and its user"


def value_problems(spec, values):
    """What is wrong with the values of one role's options on one host."""
    validated = ArgumentSpecValidator(spec).validate(values)
    yield from validated.error_messages
    for name, value in values.items():
        wanted, taken = spec[name].get("type", "str"), validated.validated_parameters.get(name)
        # The validator would take '8001' for 8001, and "a,b" for a list. The roles get the text.
        if isinstance(value, str) and not isinstance(taken, str) and taken is not None:
            how = "as a list" if wanted == "list" else "without quotes"
            yield (
                f"{name} is the text {str(value)!r}, not of type {wanted}: write it {how}, "
                f"and on the command line as JSON: -e '{json.dumps({name: taken})}'"
            )
        for suffix, (low, high) in RANGES.items():
            if name.endswith(suffix) and isinstance(taken, int) and not low <= taken <= high:
                yield f"{name} is {taken}, and has to be from {low} to {high}"


def address_problems(groups, hostvars):
    """Hosts of which no address is known that the others could use."""
    ours = ("database", "application", "nginx")
    for host in sorted({host for group in ours for host in groups.get(group, ())}):
        variables = hostvars[host]
        if not variables.get("plan_address") and not variables.get("ansible_facts"):
            yield (
                f"{host} was not looked at, so its address and memory are not known: run without "
                "--limit, or set plan_address for it"
            )
            continue
        found = address(variables, host)
        try:
            ipaddress.ip_address(found)
        except ValueError:
            yield f"{host} has no default route, and {found!r} is no address: set plan_address"


def own_facts(role):
    """Names that the tasks of a role register or set themselves: on its hosts when another playbook
    of the same run has been there before.
    """
    for path in (COLLECTION / "roles" / role / "tasks").glob("*.yml"):
        for task in nested(yaml.safe_load(path.read_text())):
            yield from filter(None, [task.get("register")])
            yield from task.get("ansible.builtin.set_fact", ())


def nested(tasks):
    """All tasks, those in blocks too."""
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from nested(task.get(part, ()))


def argument_spec(role):
    """The options of a role as its meta/argument_specs.yml declares them."""
    text = (COLLECTION / "roles" / role / "meta" / "argument_specs.yml").read_text()
    return as_validator(yaml.safe_load(text)["argument_specs"]["main"]["options"])


def as_validator(options):
    """The part of documented options that the validator knows."""
    keep = ("type", "required", "choices", "elements", "no_log")
    return {
        name: {key: option[key] for key in keep if key in option}
        for name, option in options.items()
    }


def misspelt(name, known):
    """A sentence about a variable that looks like ours and is not, or None."""
    if name.startswith("ansible_") or name in known:
        return None
    close = difflib.get_close_matches(name, known, 1, 0.85)
    if not name.startswith(PREFIXES) and not close:
        return None
    close = close or difflib.get_close_matches(name, known, 1)
    return f"unknown variable {name}" + (f": did you mean {close[0]}?" if close else "")


def is_secret(name):
    """Whether an option belongs into the vault."""
    return name == "application_secret_key" or name.startswith("database_password_")


def compute(project, arguments, hosts):
    """The plan as a dict, and the sentences that refuse it: one of them is empty."""
    command = [sys.executable, "-m", "budget", "--json", "--hosts", str(hosts)]
    command += ["--file", str(arguments["budget_file"])]
    for name, value in (arguments["numbers"] or {}).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    where = project if (project / "budget" / "plan.py").exists() else OWN_BUDGET
    # The controller's own BUDGET_* and WEB_CONCURRENCY are not the servers'.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BUDGET_") and name != "WEB_CONCURRENCY"
    }
    environment |= {"PYTHONPATH": str(where), "PYTHONDONTWRITEBYTECODE": "1"}
    if hosts == 0:
        return None, []
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        plan = json.loads(done.stdout)
        missing = [name for name in YOUNGEST if name not in plan]
        if missing:
            old = f"{where / 'budget'} is older than this collection: no {', '.join(missing)}"
            return None, [old]
        return plan, []
    return None, budget_problems(done, arguments["budget_file"])


def budget_problems(done, path):
    """The sentences of a budget that does not fit."""
    try:
        problems = json.loads(done.stdout)["problems"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        return [f"{path}: {last.rpartition('error: ')[2]}"]
    return [f"{path}: {subject(p)}: {p['rule']}. {p['fix']}." for p in problems]


def subject(problem):
    """The rule's id and, where one field is at fault, its value as it is written in the budget."""
    value = f" {problem['field']} = {json.dumps(problem['value'])}" if problem["field"] else ""
    return problem["id"] + value


def find_release(project, version):
    """The first 12 digits of the commit to deploy, and the sentences that refuse it: one of them is
    empty.
    """

    def git(*command):
        return subprocess.run(["git", "-C", project, *command], capture_output=True, text=True)

    if not project.is_dir():
        return None, [f"application_source {project} is no folder on this machine"]
    if git("rev-parse", "--git-dir").returncode:
        return None, [
            f"{project} is no git repository: what is deployed is a commit (git init, add, commit)"
        ]
    found = git("rev-parse", "--verify", "--quiet", f"{version}^{{commit}}")
    if found.returncode:
        return None, [f"git does not know application_version {version!r} in {project}"]
    commit = found.stdout.strip()
    if git("cat-file", "-e", f"{commit}:./{LOCKFILE}").returncode:
        sentence = f"commit {commit[:12]} has no {LOCKFILE}: make it with `make lock` and commit it"
        return None, [sentence]
    return commit[:12], []


def room_problems(plan, hostvars, groups):
    """Hosts that are too small for the plan."""
    wanted = (
        ("database", "database server", "memory_mb", plan["server_memtotal_mb"]),
        ("application", "host of the application", "app_memory_mb", plan["app_memtotal_mb"]),
    )
    for group, what, field, least in wanted:
        for host in groups[group]:
            memory = hostvars[host].get("ansible_facts", {}).get("memtotal_mb")
            if memory is not None and memory < least:
                yield (
                    f"{host} has {memory} MiB of memory, and the budget plans a {what} of "
                    f"{plan['budget'][field]} MiB: lower {field} in the budget (and see what then "
                    "fits), or use a larger host"
                )


def topology(groups, hostvars):
    """Who talks to whom: addresses of all hosts, and whether one host holds everything."""
    addresses = {host: address(hostvars[host], host) for host in groups["all"]}
    one_host = set(groups["application"]) == set(groups["database"])
    nodes = {*groups["nginx"], *groups["application"]}
    sources = [addresses[host] for host in groups["application"]]
    return {
        "addresses": addresses,
        "database_is_local": one_host,
        "nginx_is_local": len(nodes) == 1,
        "database_clients": "localhost" if one_host else smallest_network(sources),
    }


def address(variables, host):
    """Where other hosts reach this one."""
    facts = variables.get("ansible_facts", {}).get("default_ipv4", {})
    return (
        variables.get("plan_address")
        or facts.get("address")
        or variables.get("ansible_host")
        or host
    )


def smallest_network(addresses):
    """The smallest network that has all addresses, as an account's host: `10.0.0.12` or
    `10.0.0.8/255.255.255.248`.

    One account for all application hosts, because the server counts MAX_USER_CONNECTIONS for each
    account: one for each host would allow as many times the limit as there are hosts.
    """
    numbers = sorted(ipaddress.ip_address(each) for each in addresses)
    first, last = numbers[0], numbers[-1]
    if first == last:
        return str(first)
    bits = first.max_prefixlen - (int(first) ^ int(last)).bit_length()
    network = ipaddress.ip_network((first, bits), strict=False)
    return f"{network.network_address}/{network.netmask}"
