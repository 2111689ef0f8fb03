#!/bin/sh
# Makes this repository's own .venv and installs the system packages that are missing. It is the
# script every generated project has; what it may install, and how, is written there.
#
#   ./bootstrap.sh [PROGRAM[:PACKAGE]...]    see '{{cookiecutter.project_slug}}/bootstrap.sh'
set -eu
BOOTSTRAP_ROOT=.. exec "$(dirname "$0")/{{cookiecutter.project_slug}}/bootstrap.sh" "$@"
