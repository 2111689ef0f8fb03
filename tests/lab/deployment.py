"""One generated project with its inventory, driven by its own Makefile as its owner would."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.lab.traffic import Traffic
from tests.places import REPOSITORY

ENVIRONMENT = "lab"
NAME = "my_shop"
HOST = "my-shop.example.com"


@dataclass(frozen=True)
class Run:
    """A playbook's run: exit status, all output, seconds, and the recap's numbers, summed over the
    hosts.
    """

    status: int
    output: str
    seconds: float

    def number(self, word):
        return sum(int(n) for n in re.findall(rf"\b{word}=(\d+)", self.output))

    def check(self):
        """Itself, if the run was successful."""
        assert self.status == 0, self.output[-4000:]
        return self

    def refused(self):
        """What a run that has to fail said, in one line."""
        assert self.status != 0, "this has to be refused"
        return re.sub(r"\s+", " ", self.output)

    @property
    def table(self):
        """The verify table: (host, what, limit) -> (planned, running)."""
        rows = {}
        for line in self.output.splitlines():
            cells = re.split(r"\s{2,}", line.strip())
            if len(cells) >= 5 and cells[1] in ("database", "application", "nginx"):
                rows[tuple(cells[:3])] = (cells[3], cells[4])
        return rows


class Deployment:
    """A project below `folder`. `hosts` is group -> machines."""

    def __init__(self, folder, lab, hosts, **answers):
        self.folder, self.lab, self.hosts = folder / NAME, lab, hosts
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        given = [f"{name}={value}" for name, value in answers.items()]
        bake = [sys.executable, "-m", "cookiecutter", REPOSITORY, "--no-input", "-o", folder]
        subprocess.run([*bake, "project_name=My Shop", *given], check=True, capture_output=True)
        self.inventory = self.folder / "deploy" / "inventories" / ENVIRONMENT
        shutil.copytree(self.inventory.with_name("staging"), self.inventory)
        self.write_hosts()
        main = self.inventory / "group_vars/all/main.yml"
        main.write_text(re.sub(r"my-shop\.\S+", HOST, main.read_text()))
        self.make("lock").check()
        self.make("secrets").check()
        self.git("init", "-q")
        self.commit("First release")

    @property
    def address(self):
        return self.hosts["nginx"][0].address

    def write_hosts(self):
        """The inventory, as hosts.ini."""
        lines = []
        for group, machines in self.hosts.items():
            lines += [f"[{group}]", *(f"{m.name} ansible_host={m.address}" for m in machines), ""]
        variables = self.lab.connection_variables().items()
        lines += ["[all:vars]", *(f"{name}={value}" for name, value in variables), ""]
        (self.inventory / "hosts.ini").write_text("\n".join(lines))

    def git(self, *arguments):
        identity = ("-c", "user.name=lab", "-c", "user.email=lab@example.com")
        command = ["git", "-C", self.folder, *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, message):
        """Commit everything; gives what the release will be called."""
        self.git("add", "--all")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")[:12]

    def replace(self, name, old, new):
        """Edit a file of the project."""
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new))

    def command(self, target, arguments=""):
        """`make TARGET ENV=lab` with Ansible from where the tests have it."""
        command = ["make", "-C", self.folder, "--no-print-directory", target, f"ENV={ENVIRONMENT}"]
        return [*command, f"ANSIBLE={self.lab.folder / 'ansible'}", f"ARGS={arguments}"]

    def make(self, target, arguments=""):
        """Run a target of the project's Makefile to its end."""
        began = time.monotonic()
        with subprocess.Popen(
            self.command(target, arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate()
            except BaseException:  # Ctrl-C, TERM, a test's timeout: Ansible ends with its make
                os.killpg(process.pid, signal.SIGKILL)
                raise
        run = Run(process.returncode, output, time.monotonic() - began)
        (self.lab.folder / f"{time.strftime('%H.%M.%S')}-{target}.log").write_text(run.output)
        return run

    def start_and_kill(self, line):
        """A deploy that is killed when it says `line`: a power loss where it is run."""
        with subprocess.Popen(
            self.command("deploy"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                assert any(line in said for said in process.stdout), f"it never said {line!r}"
            finally:
                os.killpg(process.pid, signal.SIGKILL)

    def deploy(self, arguments=""):
        return self.make("deploy", arguments)

    def renew_certificate_under_load(self, service):
        """Have a deploy find that the certificate of the database server ends soon. Neither
        ``service`` nor a request may notice.
        """
        (machine,) = self.hosts["database"]
        machine.ssh(
            "cd /etc/mysql/tls && openssl x509 -in server.pem -CA ca.pem -CAkey ca.key"
            " -CAcreateserial -days 10 -out /root/short.pem && cat /root/short.pem > server.pem"
        )
        pid = f"systemctl show -P MainPID {service}"
        before = machine.ssh(pid)
        assert "certificate until" in self.make("check-limits").refused()
        with Traffic(self.address, HOST) as traffic:
            # made, given to the server, and read
            assert self.deploy().check().number("changed") == 3
            traffic.wait_for(20)
        assert traffic.failures == []
        assert machine.ssh(pid) == before

    def current(self, machine):
        """The release a host serves, from the folder its main process works in."""
        command = f"readlink /proc/$(systemctl show -P MainPID {NAME})/cwd"
        return machine.ssh(command).strip().rpartition("/")[2]
