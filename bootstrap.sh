#!/bin/sh
# Makes this repository's own .venv and installs the system packages that are missing. It is the
# script every generated project has; what it may install, and how, is written there.
#
#   ./bootstrap.sh [PROGRAM[:PACKAGE]...]    see '{{cookiecutter.project_slug}}/bootstrap.sh'
set -eu
cd "$(dirname "$0")"
BOOTSTRAP_ROOT=.. '{{cookiecutter.project_slug}}/bootstrap.sh' "$@"
# As they stand in packages/, so that an edit is seen at once. Without their dependencies, which
# pyproject.toml has, and with the build backend of its `packages` group, or pip would fetch it four times.
set --
for package in packages/*/pyproject.toml; do
    set -- "$@" --editable "${package%/pyproject.toml}"
done
"${VENV:-.venv}/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation "$@"

