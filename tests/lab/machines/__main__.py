"""The lab by hand:  cd tests/lab && python3 -m machines tools | up db1 app1 app2:sid | status | ssh
NAME CMD | kill|stop|start NAME | down

State is kept in the repository's .lab/ (LAB_DIR changes that).
"""

import os
import sys
from pathlib import Path

from . import CannotMakeMachines, Lab, network

FOLDER = os.environ.get("LAB_DIR", Path(__file__).resolve().parents[3] / ".lab")


def main(command="", *arguments):
    lab = Lab(FOLDER)
    lab.install_tools()
    lab.check()
    if command == "up" and arguments:
        print("up:", *(f"{m.name} {m.address}" for m in lab.up(*arguments).values()))
    elif command == "tools":
        pass
    elif command == "down":
        lab.down()
    elif command == "status":
        for machine in lab.machines().values():
            print(machine.name, machine.address, "up" if machine.leader() else "off")
    elif command == "ssh" and len(arguments) > 1:
        print(lab.machines()[arguments[0]].ssh(" ".join(arguments[1:]), check=False), end="")
    elif command in ("kill", "stop", "start") and len(arguments) == 1:
        getattr(lab.machines()[arguments[0]], command)()
    elif command == "cut" and len(arguments) == 1:
        network.cut_off(arguments[0])
    elif command == "heal":
        network.heal()
    else:
        sys.exit(__doc__)


try:
    main(*sys.argv[1:])
except CannotMakeMachines as error:
    print(f"The lab cannot run here: {error}.", file=sys.stderr)
    sys.exit(error.EXIT_STATUS)
