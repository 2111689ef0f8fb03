"""One machine: its disk (an overlay on the base image), its processes (systemd-nspawn), power and
SSH.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from . import network
from .shell import run, write

CGROUP = Path("/sys/fs/cgroup")
# They outlive this process when the lab is used by hand; held here so that none is called
# forgotten.
KEEPERS = []
# systemd-nspawn ends with 133 when the machine has asked for a reboot.
AGAIN_AT_A_REBOOT = 'while "$@"; [ $? = 133 ]; do :; done'


@dataclass(frozen=True)
class Machine:
    """A host of the lab. `folder` holds its disk, `address` is where it answers."""

    name: str
    address: str
    folder: Path
    image: Path
    lab: Path

    @property
    def root(self):
        return self.folder / "root"

    def create(self, table):
        """Lay the disk and plug in the network; `table` is name -> address of every machine."""
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        write(self.folder / "host.json", json.dumps([self.address, str(self.image)]))
        self._mount()
        key = (self.lab / "key.pub").read_text()
        write(self.root / "etc/ssh/ssh_host_ed25519_key", (self.lab / "hostkey").read_text(), 0o600)
        write(self.root / "etc/hostname", f"{self.name}\n")
        write(self.root / "etc/machine-id", f"{uuid.uuid4().hex}\n")
        write(self.root / "etc/resolv.conf", Path("/etc/resolv.conf").read_text())
        names = "".join(f"{address} {name}\n" for name, address in table.items())
        write(self.root / "etc/hosts", f"127.0.0.1 localhost\n{names}")
        for home in ("root", "home/deploy"):
            write(self.root / home / ".ssh/authorized_keys", key, 0o600)
        run("chroot", self.root, "chown", "-R", "deploy:", "/home/deploy")
        network.plug(self.name, self.address)

    def _mount(self):
        if not os.path.ismount(self.root):
            layers = (
                f"lowerdir={self.image},upperdir={self.folder}/upper,workdir={self.folder}/work"
            )
            run("mount", "-t", "overlay", f"lab-{self.name}", self.root, "-o", layers)

    def start(self, limit=60):
        """Power on and wait for SSH, at most `limit` seconds."""
        if self.keeper() is None:
            self._boot()
        end = time.monotonic() + limit
        while time.monotonic() < end and self.keeper():
            with (
                contextlib.suppress(OSError),
                socket.create_connection((self.address, 22), 1) as connection,
            ):
                connection.settimeout(1)
                if connection.recv(4) == b"SSH-":
                    return
            time.sleep(0.05)
        raise TimeoutError(f"{self.name}: no ssh; see {self.folder / 'console.log'}")

    def _boot(self):
        groups = self._cgroups()
        for group in groups:
            _remove_cgroup(group)

        def enter():
            os.setsid()
            for group in groups:
                group.mkdir(parents=True, exist_ok=True)
                (group / "cgroup.procs").write_text(str(os.getpid()))

        self._mount()
        environment = dict(os.environ)
        if self._systemd_version() >= 258:  # knows only cgroup v2: boots, unit limits do nothing
            environment["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
        with (self.folder / "console.log").open("a") as log:
            keeper = subprocess.Popen(
                ["sh", "-c", AGAIN_AT_A_REBOOT, f"lab-{self.name}", *self._nspawn()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                preexec_fn=enter,  # noqa: PLW1509 - nothing else can put the child into its cgroups
            )
        KEEPERS.append(keeper)
        write(self.folder / "pid", str(keeper.pid))

    def _nspawn(self):
        return (
            *("systemd-nspawn", "--quiet", f"--machine={self.name}", f"--directory={self.root}"),
            *(f"--network-namespace-path=/run/netns/lab-{self.name}", "--register=no"),
            *("--keep-unit", "--kill-signal=SIGRTMIN+3", "--resolv-conf=off", "--timezone=off"),
            *("--capability=CAP_NET_ADMIN,CAP_IPC_LOCK", "--link-journal=no", "--console=pipe"),
            "/sbin/lab-init",
        )

    def _systemd_version(self):
        (library,) = self.image.glob("usr/lib/*/systemd/libsystemd-core-*.so")
        return int(re.search(r"core-(\d+)", library.name)[1])

    def keeper(self):
        """Pid of the shell that runs the machine; None when it is off."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "pid").read_text())
            if f"lab-{self.name}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def leader(self):
        """The machine's PID 1 as this machine sees it: keeper -> systemd-nspawn -> PID 1."""
        pid = self.keeper()
        for _ in range(2):
            found = run("pgrep", "-P", pid, check=False).split() if pid else []
            pid = int(found[0]) if found else None
        return pid

    def kill(self):
        """Power loss: SIGKILL of PID 1, which takes every process of the machine along."""
        pid, keeper = self.leader(), self.keeper()
        if pid:
            os.kill(pid, signal.SIGKILL)
        elif keeper:  # still on its way up
            os.killpg(keeper, signal.SIGKILL)
        self._wait_gone(keeper)

    def stop(self):
        """Orderly power-off."""
        keeper = self.keeper()
        os.kill(self.leader(), signal.SIGRTMIN + 3)
        self._wait_gone(keeper)

    def _wait_gone(self, keeper, limit=120):
        end = time.monotonic() + limit
        while keeper and self.keeper() == keeper and time.monotonic() < end:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(keeper, os.WNOHANG)
            time.sleep(0.02)

    def remove(self):
        """Power off at once and remove disk, network and cgroups."""
        self.kill()
        run("umount", self.root, check=False, quiet=True)
        network.unplug(self.name)
        for group in self._cgroups():
            _remove_cgroup(group)
            with contextlib.suppress(OSError):
                group.parent.rmdir()
        if os.path.ismount(self.root):
            raise RuntimeError(f"{self.root} is still mounted; nothing below it was removed")
        shutil.rmtree(self.folder)

    def ssh(self, command, check=True, timeout=120):
        """Run a shell command as root; gives its standard output."""
        options = ("-q", "-i", self.lab / "key", "-o", f"UserKnownHostsFile={self.lab}/known_hosts")
        return run("ssh", *options, f"root@{self.address}", command, check=check, timeout=timeout)

    def _cgroups(self):
        """Those below the ones the first machine started in."""
        saved = self.lab / "cgroups"
        if not saved.exists():
            write(saved, json.dumps(own_cgroups()))
        return cgroups(json.loads(saved.read_text()), self.name)


def own_cgroups():
    """Controller -> path of this process's cgroup."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return dict(line.split(":", 2)[1:] for line in lines)


def cgroups(own, name):
    """A machine's cgroup in every mounted hierarchy, below those in `own`."""
    mounted = {c: c for c in ("memory", "pids", "cpu", "cpuacct")}
    mounted |= {"name=systemd": "systemd", "": "unified"}
    return [
        CGROUP / folder / own[controller].lstrip("/") / "lab" / name
        for controller, folder in mounted.items()
        if controller in own and (CGROUP / folder).is_dir()
    ]


def _remove_cgroup(path):
    for folder, _, _ in os.walk(path, topdown=False):
        for _ in range(50):  # the kernel needs a moment after the last process is gone
            with contextlib.suppress(OSError):
                os.rmdir(folder)
                break
            time.sleep(0.02)
