"""The private bridge the machines are plugged into, and the faults tests inject there."""

import contextlib
from pathlib import Path

from .shell import run, write

BRIDGE, NET, PREFIX = "lab0", "10.77.0", 24
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")

# Machines reach each other, DNS and the package registries through this machine, and nothing else.
RULES = f"""
table ip lab {{
    chain postrouting {{
        type nat hook postrouting priority srcnat
        ip saddr {NET}.0/{PREFIX} oifname != "{BRIDGE}" masquerade
    }}
    chain forward {{
        type filter hook forward priority 0
        iifname "{BRIDGE}" oifname "{BRIDGE}" accept
        iifname "{BRIDGE}" meta l4proto {{ tcp, udp }} th dport 53 accept
        iifname "{BRIDGE}" tcp dport {{ 80, 443 }} accept
        iifname "{BRIDGE}" reject
    }}
}}
table bridge lab {{
    chain forward {{ type filter hook forward priority 0; }}
    chain input {{ type filter hook input priority 0; }}
    chain output {{ type filter hook output priority 0; }}
}}
"""


def up(state):
    """Make the bridge; what has to be restored by `down` is noted in the folder `state`."""
    if run("ip", "link", "show", BRIDGE, check=False, quiet=True):
        return
    run("nft", "-f", "-", input=RULES)
    write(state / "ip_forward.before", FORWARD.read_text())
    FORWARD.write_text("1")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "addr", "add", f"{NET}.1/{PREFIX}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")


def down(state):
    """Remove the bridge and its rules, and put forwarding back as it was."""
    for family in ("ip", "bridge"):
        run("nft", "delete", "table", family, "lab", check=False, quiet=True)
    run("ip", "link", "del", BRIDGE, check=False, quiet=True)
    before = state / "ip_forward.before"
    with contextlib.suppress(FileNotFoundError):
        FORWARD.write_text(before.read_text())
        before.unlink()


def card(name):
    """Name of a machine's network card as this machine sees it."""
    return f"v-{name}"


def plug(name, address):
    """Make a machine's network namespace, its card and its address."""
    namespace = f"lab-{name}"
    run("ip", "netns", "add", namespace)
    run("ip", "link", "add", card(name), "type", "veth", "peer", "name", "eth0", "netns", namespace)
    run("ip", "link", "set", card(name), "master", BRIDGE, "up")
    commands = f"""link set lo up
link set eth0 up
addr add {address}/{PREFIX} dev eth0
route add default via {NET}.1
"""
    run("ip", "-n", namespace, "-batch", "-", input=commands)


def unplug(name):
    """Undo `plug`."""
    run("ip", "link", "del", card(name), check=False, quiet=True)
    run("ip", "netns", "del", f"lab-{name}", check=False, quiet=True)


def cut_off(name):
    """Drop every frame from and to a machine, silently, as a pulled cable in the rack would."""
    for chain in ("forward", "input"):
        run("nft", "add", "rule", "bridge", "lab", chain, "iifname", card(name), "counter", "drop")
    for chain in ("forward", "output"):
        run("nft", "add", "rule", "bridge", "lab", chain, "oifname", card(name), "counter", "drop")


def heal():
    """Undo every `cut_off`."""
    for chain in ("forward", "input", "output"):
        run("nft", "flush", "chain", "bridge", "lab", chain)
