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
"""

import os
import sys

# Python looks for modules beside the script first: here that is where anybody may put a json.py.
sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
# A __pycache__ in the repository would be copied into the project.
sys.dont_write_bytecode = True

import json  # noqa: E402
from pathlib import Path  # noqa: E402

RENDERED = r'''{{ {
    "repository": lipsum.__globals__.os.getcwd(),
    "arguments": lipsum.__globals__.os.sys.argv,
    "answers": cookiecutter,
} | tojson }}'''  # fmt: skip


def main() -> int:
    """Print what is wrong with the answers to stderr. Returns 1 if anything is, else 0."""
    rendered = json.loads(RENDERED)
    os.unlink(__file__)  # cookiecutter leaves it, with all answers in it
    repository = Path(rendered["repository"])
    prompts = repository / "cookiecutter.json"
    template = repository / "{{ '{{cookiecutter.project_slug}}' }}"
    sys.path[:0] = [str(repository / "hooks"), str(template)]
    import links

    links.restore(template)
    from answers import refusal, unknown_arguments, wrong_answers

    wrong = [
        *unknown_arguments(rendered["arguments"], rendered["answers"]),
        *wrong_answers(
            rendered["answers"],
            json.loads(prompts.read_text(encoding="utf-8")),
            {path.stem for path in template.iterdir()},
        ),
    ]
    if wrong:
        print(refusal(wrong, Path.cwd()), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
