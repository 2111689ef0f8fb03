"""Refuses wrong answers before anything is generated. The checks themselves are in answers.py.

Cookiecutter renders this file with Jinja into the folder of temporary files and runs it in the
empty project folder. So neither __file__ nor the working directory leads to the repository, whose
modules are wanted here (a second copy of the budget's formulas is not).

- Where it is: both cookiecutter and cruft render a hook while their working directory is the
  repository, whatever it came from: a folder, a zip file, a clone. Jinja has no name for that
  directory, but its global `lipsum` is a plain function, and through it os.getcwd() can be
  reached. Cookiecutter's own `_repo_dir` does not exist under cruft, and is relative otherwise.
- The answers may hold anything. `tojson` writes a quote as \\u0027 and leaves no line break, so
  nothing can end the raw string below, let alone run.
- Python looks for modules beside the script first: here that is where anybody may put a json.py. So
  nothing is imported but what Python has loaded by itself, and the rest is a program of its own.
"""

import os
import sys

RENDERED = r'''{{ {
    "arguments": lipsum.__globals__.os.sys.argv,
    "answers": cookiecutter,
} | tojson }}'''  # fmt: skip
REPOSITORY = bytes.fromhex("{{ lipsum.__globals__.os.getcwdb().hex() }}")

if __name__ == "__main__":
    project = os.getcwd()
    os.unlink(__file__)  # cookiecutter leaves it, with all answers in it
    os.chdir(REPOSITORY)
    # -B: a __pycache__ in the repository would be copied into the project.
    command = [sys.executable, "-B", "-m", "hooks.answers", RENDERED, project]
    os.execve(  # noqa: S606 - this process becomes that one
        command[0], command, {**os.environ, "PYTHONPATH": "packages/budget/src"}
    )
