"""Prints the budget of a new project and what to type next.

Not a hook: post_gen_project.py runs it, in the repository. No Jinja here.
"""

import os
import shlex
import sys
from pathlib import Path

from budget.plan import plan
from budget.report import Paint, summary_text, wants_colour
from budget.source import load


def main(project: str) -> None:
    """Print the summary of the project in that folder to stdout."""
    folder = Path(project)
    budget = plan(load(folder / "budget.toml", environ={}))
    # The shell's directory; cookiecutter's own is the template now.
    start = os.environ.get("PWD")  # only shells set it
    if start and folder.is_relative_to(start):
        folder = folder.relative_to(start)
    print(f"\n{summary_text(budget, Paint(wants_colour(sys.stdout)))}")
    print(f"\nNext:\n  cd {shlex.quote(str(folder))}\n  make run\n  make test\n")


if __name__ == "__main__":
    main(sys.argv[1])
