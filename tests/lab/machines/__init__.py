"""Real hosts on one machine: systemd-nspawn machines on a private bridge.

Each machine has its own address, systemd as PID 1, sshd, a user `deploy` with sudo, and apt and pip
as this machine has them. `image` builds the root file system, `network` the bridge and its faults,
`machine` one host, `lab` all of them; `python -m machines` is the same by hand. Needs root on
Debian or Ubuntu.
"""

from .lab import Busy, CannotMakeMachines, Lab
from .machine import Machine

__all__ = ["Busy", "CannotMakeMachines", "Lab", "Machine"]
