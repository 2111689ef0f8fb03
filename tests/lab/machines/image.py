"""The root file system all machines of one Debian suite share (read-only, below an overlay).

Everything that belongs to the site (mirror, certificates, proxy) is read from this machine's own
configuration, so the lab works wherever `apt-get install` does.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

from .shell import run, write

PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "python3",
    "python3-venv",
    "python3-apt",
    "iproute2",
    "iputils-ping",
    "openssh-server",
    "ca-certificates",
    "sudo",
    "procps",
]

# nspawn mounts read-only what a real host may change; PID 1 opens it again before it becomes
# systemd: the cgroup v1 controllers (without them MemoryMax and TasksMax are silently ignored) and
# the machine's own network sysctls.
INIT = """#!/bin/sh
for c in memory pids cpu cpuacct; do
    mount -o remount,rw,bind /sys/fs/cgroup/$c 2>/dev/null
done
mount --bind /proc/sys/net /proc/sys/net && mount -o remount,rw,bind /proc/sys/net
exec /usr/lib/systemd/systemd "$@"
"""


def apt_sources(suite):
    """`deb` lines for `suite` from this machine's own mirrors, its release name replaced."""
    stanzas = []
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for block in path.read_text().split("\n\n"):
            lines = [line for line in block.splitlines() if ": " in line and line[0] != "#"]
            fields = dict(line.split(": ", 1) for line in lines)
            if "archive-keyring" in fields.get("Signed-By", "") and fields.get("Enabled") != "no":
                stanzas.append(fields)
    here = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)[1]
    sources = []
    for fields in stanzas:
        for name in fields["Suites"].split():
            renamed = name.replace(here, suite)
            if suite != "sid" or renamed == "sid":  # sid has neither -updates nor -security
                sources.append(f"deb {fields['URIs'].split()[0]} {renamed} main")
    return sources


def apt_options():
    """This machine's proxy, retry and validity settings, for mmdebstrap."""
    keep = re.compile(r"^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy|Retries) ")
    return [line.rstrip(";") for line in run("apt-config", "dump").splitlines() if keep.match(line)]


def base(suite, cache):
    """Folder of the base image for a Debian suite; built on first use (about 20 s), then cached by
    recipe.
    """
    sources = apt_sources(suite)
    recipe = json.dumps([suite, sources, PACKAGES, INIT, 1])
    root = cache / f"{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:10]}"
    if root.exists():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    new = root.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    run(
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"),
        *(f"--aptopt={option}" for option in apt_options()),
        *("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/man/*"),
        *("--dpkgopt=path-exclude=/usr/share/doc/*", "--include=" + ",".join(PACKAGES)),
        *("--skip=cleanup/apt/lists", suite, new, *sources),
    )
    _configure(new)
    new.rename(root)  # a build that was interrupted is never taken for an image
    return root


def _configure(root):
    for certificate in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        shutil.copy(certificate, root / "usr/local/share/ca-certificates")
    write(root / "sbin/lab-init", INIT, 0o755)
    write(root / "etc/pip.conf", "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    write(root / "etc/sudoers.d/deploy", "deploy ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    write(root / "etc/ssh/sshd_config.d/lab.conf", "UseDNS no\nMaxStartups 100\n")
    prepare = """
        update-ca-certificates >/dev/null 2>&1
        useradd -m -s /bin/bash deploy
        mkdir -p /var/log/journal
        rm -f /etc/resolv.conf /etc/machine-id /etc/ssh/ssh_host_*"""
    run("chroot", root, "sh", "-ec", prepare)
    run("systemctl", f"--root={root}", "-q", "enable", "ssh.service")
    noise = ("apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "getty.target")
    run("systemctl", f"--root={root}", "-q", "mask", *noise, "systemd-firstboot.service")
