#!/bin/sh
# Makes the virtual environment .venv and installs what pyproject.toml asks for, and the system
# packages that are missing, with apt-get where that is allowed: as root, or with a sudo that asks
# nothing. Otherwise it prints the one command and stops. Nothing else on the machine is changed.
#
#   ./bootstrap.sh [PROGRAM[:PACKAGE]...]    also install the Debian packages of these programs, of the
#                                            same name if none is given
#
#   PYTHON=python3.13    the interpreter to use; else the first of python3, python3.14 ... 3.11
#   VENV=.venv           where the environment goes
#   GROUPS_TO_INSTALL=dev    dependency groups of pyproject.toml, beside the project's dependencies
set -eu
cd "$(dirname "$0")/${BOOTSTRAP_ROOT:-.}"
VENV=${VENV:-.venv}
export PIP_DISABLE_PIP_VERSION_CHECK=1 DEBIAN_FRONTEND=noninteractive

say() { printf '%s\n' "$*" >&2; }
have() { PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1; }

# -- which Python -----------------------------------------------------------------------------
minor=$(sed -n 's/^requires-python = ">=3\.\([0-9]*\)".*/\1/p' pyproject.toml)
new_enough() { "$1" -c "import sys; sys.exit(sys.version_info < (3, $minor))" >/dev/null 2>&1; }
if [ -z "${PYTHON:-}" ]; then
    for PYTHON in python3 python3.14 python3.13 python3.12 python3.11 ''; do
        if [ -n "$PYTHON" ] && new_enough "$PYTHON"; then break; fi
    done
fi
if [ -z "$PYTHON" ] || ! new_enough "$PYTHON"; then
    say "Python 3.$minor or newer is needed${PYTHON:+, and PYTHON=$PYTHON is not}. Debian 12 has 3.11," \
        "Ubuntu 24.04 3.12, Debian 13 3.13. Name another one: make PYTHON=/path/to/python3"
    exit 1
fi

# -- what pyproject.toml asks for ---------------------------------------------------------------
# pip knows no command for "the dependencies, not the project", and --group only since 25.1.
# shellcheck disable=SC2086 # words are meant
requirements=$("$PYTHON" - ${GROUPS_TO_INSTALL:-dev} <<'EOF_PYTHON'
import sys
import tomllib
from pathlib import Path

wanted, project = sys.argv[1:], tomllib.loads(Path("pyproject.toml").read_text())
lines = list(project.get("project", {}).get("dependencies", []))
for group in wanted:  # grows while it is read
    for item in project["dependency-groups"][group]:
        if isinstance(item, str):
            lines.append(item)
        elif item["include-group"] not in wanted:
            wanted.append(item["include-group"])
print("\n".join(lines))
EOF_PYTHON
)

# -- which system packages are missing --------------------------------------------------------
packages=
need() { packages="$packages $*"; }

# Debian splits `venv` off; it is found missing only when ensurepip is imported.
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    need "$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
fi
# The -core packages hold the bare programs: mariadb-server would start a system service. Who has a
# server elsewhere can do without, except for `make test`.
if [ -z "${DATABASE_URL:-}${DB_HOST:-}" ] &&
    ! grep -qsE "^(export )?(DATABASE_URL|DB_HOST)=['\"]?[^'\"[:space:]]" .env
then
    if ! have mariadbd && ! have mysqld; then need mariadb-server-core; fi
    if ! have mariadb && ! have mysql; then need mariadb-client-core; fi
fi
# mysqlclient comes as source and is compiled against the client library.
if printf '%s\n' "$requirements" | grep -q '^mysqlclient'; then
    if ! have gcc; then need gcc libc6-dev; fi
    if ! have pkg-config; then need pkg-config; fi
    if ! pkg-config --exists libmariadb 2>/dev/null && ! pkg-config --exists mysqlclient 2>/dev/null
    then need libmariadb-dev; fi
    header='import os, sysconfig; print(os.path.join(sysconfig.get_path("include"), "Python.h"))'
    if [ ! -e "$("$PYTHON" -c "$header")" ]; then
        need "$("$PYTHON" -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')"
    fi
fi
for program in "$@"; do
    if ! have "${program%:*}"; then need "${program#*:}"; fi
done

if [ -n "$packages" ]; then
    install="apt-get install -y --no-install-recommends$packages"
    if ! have apt-get; then
        say "These Debian packages (or your system's like) are needed:$packages"
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        as_root=
    elif have sudo && sudo -n true 2>/dev/null; then
        as_root='sudo -n --preserve-env=DEBIAN_FRONTEND'
    else
        # A fresh machine has no package lists; with them this says which names it does not know.
        ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || install="apt-get update && sudo $install"
        say "Some system packages are missing. Install them, then run make again:"
        say
        say "    sudo $install"
        say
        exit 1
    fi
    say "Installing system packages:$packages"
    # A machine that updates itself holds dpkg's lock for minutes.
    patience="-o DPkg::Lock::Timeout=300"
    # A fresh machine has no package lists, an old one lists that name files long gone.
    # shellcheck disable=SC2086 # words are meant
    $as_root $install $patience -q >/dev/null 2>&1 </dev/null || {
        $as_root apt-get update -q >/dev/null </dev/null
        $as_root $install $patience -q >/dev/null </dev/null || { say "This failed: $install"; exit 1; }
    }
fi

# -- the environment --------------------------------------------------------------------------
# A Python that was upgraded under it leaves an environment that is there and does not work.
if ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
    say "Making the virtual environment $VENV with $("$PYTHON" --version)"
    rm -rf "$VENV"
    "$PYTHON" -m venv "$VENV"
fi

say "Installing the Python packages of pyproject.toml"
printf '%s\n' "$requirements" >"$VENV/requirements.txt"
"$VENV/bin/python" -m pip install --quiet --requirement "$VENV/requirements.txt"
