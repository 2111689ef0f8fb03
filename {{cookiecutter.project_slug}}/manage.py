#!/usr/bin/env python
"""Django's command line. A plain process: gevent, where it is used, is for Gunicorn's workers."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("POOL_ROLE", "command")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise ImportError(
            "Django is not installed for this Python. `make run` sets everything up; "
            "by hand: python -m venv .venv, then install the dependencies of pyproject.toml."
        ) from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
