"""Shows the budget of the new project and what to type next. Changes nothing, needs no network."""

import os
import shlex
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[0] = os.getcwd()  # the new project, instead of the folder of temporary files

from budget.plan import plan  # noqa: E402
from budget.report import Paint, summary_text, wants_colour  # noqa: E402
from budget.source import load  # noqa: E402


def main() -> None:
    """Print the summary to stdout."""
    os.unlink(__file__)  # cookiecutter leaves its rendered copy behind
    project = Path.cwd()
    # The shell's directory; cookiecutter's own is the template now.
    start = os.environ.get("PWD")  # only shells set it
    folder = project.relative_to(start) if start and project.is_relative_to(start) else project
    budget = plan(load("budget.toml", environ={}))
    print(f"\n{summary_text(budget, Paint(wants_colour(sys.stdout)))}")
    print(f"\nNext:\n  cd {shlex.quote(str(folder))}\n  make run\n  make test\n")


if __name__ == "__main__":
    main()
