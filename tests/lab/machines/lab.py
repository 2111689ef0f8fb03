"""All machines of a lab: make them, find them again, remove every trace of them."""

import concurrent.futures
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from . import image, network
from .machine import Machine, cgroups, own_cgroups
from .shell import run, write

# The bridge and the names of the machines are this machine's, so there is one lab at a time; the
# file says which folder it is in, also after a run that was killed.
LOCK = Path("/run/lock/lab-of-machines")

TOOLS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh": "openssh-client",
}


# What machines are made of, tried in a scratch folder; each undoes what it did.
TRIALS = {
    "network namespaces": "ip netns add lab-trial && ip netns del lab-trial",
    "a bridge": "ip link add lab-trial type bridge && ip link del lab-trial",
    "packet filters": "nft add table bridge lab-trial && nft delete table bridge lab-trial",
    "machines of their own process ids": "unshare --mount --uts --ipc --pid --fork true",
    "overlay mounts": "mkdir low up work root && mount -t overlay lab-trial root "
    "-o lowerdir=low,upperdir=up,workdir=work && umount root",
}


class CannotMakeMachines(RuntimeError):
    """This machine cannot hold a lab; the message says why and what would help."""

    #: For programs that end with it: "skipped", as automake's tests have it. Nothing was tested.
    EXIT_STATUS = 77


class Busy(RuntimeError):
    """Another run has its machines here."""


class Lab:
    """The machines below `folder`. As a context manager it removes everything at the end."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()

    def __enter__(self):
        self.check()
        self._lock = LOCK.open("a+")
        self._lock.seek(0)
        before = self._lock.read()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise Busy(f"another run has its machines in {before}: let it end first") from None
        for folder in {before or self.folder, self.folder}:  # what a run that was killed has left
            Lab(folder).down()
        self._lock.truncate(0)
        self._lock.write(str(self.folder))
        self._lock.flush()
        return self

    def __exit__(self, *_):
        # A second Ctrl-C would leave half of it.
        before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)}
        self.down()
        self._lock.close()
        for number, handler in before.items():
            signal.signal(number, handler)

    def check(self):
        """Raise CannotMakeMachines unless this machine can hold a lab."""
        if not Path("/etc/apt/sources.list.d").is_dir() or not shutil.which("apt-get"):
            raise CannotMakeMachines(
                "the lab makes Debian machines with apt: it needs Debian or Ubuntu"
            )
        if os.geteuid() != 0:
            raise CannotMakeMachines("the lab makes machines and a bridge: it has to run as root")
        missing = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
        if missing:
            raise CannotMakeMachines(f"missing: apt-get install {' '.join(missing)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="trial.") as scratch:
            for what, trial in TRIALS.items():
                try:
                    run("sh", "-ec", trial, cwd=scratch, stderr=subprocess.PIPE)
                except subprocess.CalledProcessError as error:
                    why = error.stderr.strip().rpartition("\n")[2]
                    raise CannotMakeMachines(f"it cannot make {what} ({why})") from None
        try:
            for group in cgroups(own_cgroups(), "trial"):
                group.mkdir(parents=True, exist_ok=True)
                group.rmdir()
        except OSError as error:
            raise CannotMakeMachines(f"it cannot make control groups ({error})") from None

    def install_tools(self):
        """Install what `check` would miss, on Debian and as root."""
        missing = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
        if missing and os.geteuid() == 0 and shutil.which("apt-get"):
            # A machine that updates itself holds dpkg's lock for minutes.
            patience = ("-o", "DPkg::Lock::Timeout=300")
            install = ("apt-get", "install", "-q", "-y", "--no-install-recommends")
            run(
                *install,
                *patience,
                *missing,
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            )

    def machines(self):
        """Name -> Machine, as on disk."""
        found = {}
        for path in sorted(self.folder.glob("hosts/*/host.json")):
            address, root = json.loads(path.read_text())
            name = path.parent.name
            found[name] = Machine(name, address, path.parent, Path(root), self.folder)
        return found

    def up(self, *names):
        """Make and start machines, given as NAME or NAME:SUITE (default trixie). Gives name ->
        Machine.
        """
        wanted = dict(f"{name}:trixie".split(":")[:2] for name in names)
        for name in wanted:
            if not re.fullmatch(
                r"[a-z][a-z0-9-]{0,11}", name
            ):  # a card's name has at most 15 characters
                raise ValueError(f"{name!r}: a machine's name has at most 12 of a-z, 0-9 and -")
        images = {suite: image.base(suite, self.folder / "cache") for suite in set(wanted.values())}
        for key in (self.folder / "key", self.folder / "hostkey"):
            if not key.exists():
                run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key)
        public = (self.folder / "hostkey.pub").read_text()
        write(self.folder / "known_hosts", f"{network.NET}.* {public}")
        network.up(self.folder)
        table = {name: machine.address for name, machine in self.machines().items()}
        free = (
            address
            for last in range(11, 250)
            if (address := f"{network.NET}.{last}") not in table.values()
        )
        new = [name for name in wanted if name not in table]
        table |= dict(zip(new, free, strict=False))
        for name in new:
            place = self.folder / "hosts" / name
            Machine(name, table[name], place, images[wanted[name]], self.folder).create(table)
        machines = {name: self.machines()[name] for name in wanted}
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(Machine.start, machines.values()))
        return machines

    def down(self):
        """Remove every machine, the bridge, its rules and the keys; the base images stay cached."""
        for machine in self.machines().values():
            machine.remove()
        network.down(self.folder)
        for name in ("cgroups", "known_hosts", "key", "key.pub", "hostkey", "hostkey.pub"):
            (self.folder / name).unlink(missing_ok=True)

    def connection_variables(self):
        """What Ansible needs to reach a machine of this lab, beside its address."""
        return {
            "ansible_user": "deploy",
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.folder}/known_hosts",
        }
