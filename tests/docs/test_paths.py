"""The pages that lead to files lead to files that are there, and to targets that make knows."""

import re
import subprocess
import sys

import pytest

from benchmarks import peers
from tests.places import REPOSITORY, TEMPLATE

PAGES = ("CONTRIBUTING.md", "docs/explanation/architecture.md")
#: A path in backticks that begins with a folder of this repository; "…" is the template's.
PATH = re.compile(
    r"`((?:…|\.ci|ansible|benchmarks|demo|docs|hooks|packages|tests)/[^`\s:]*)`", re.ASCII
)
TARGET = re.compile(r"(?:`|^)make ([a-z-]+)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    named = sorted(set(PATH.findall(text)))
    assert len(named) > 5, "the page names files, and this test finds them"
    missing = []
    for name in named:
        # ROLE and NAME stand for any.
        pattern = name.replace("…", "TEMPLATE").replace("ROLE", "*").replace("NAME", "*")
        folder, _, rest = pattern.partition("/")
        start = TEMPLATE if folder == "TEMPLATE" else REPOSITORY / folder
        if not any(start.glob(rest or "*")):
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_every_target_that_a_page_names_is_one(page: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    named = set(TARGET.findall(text))
    assert len(named) > 3, "the page names targets, and this test finds them"
    # `make run` and `make deploy` are a generated project's.
    theirs = set(re.findall(r"^([a-z-]+):", (TEMPLATE / "Makefile").read_text(), re.MULTILINE))
    assert named - targets - theirs == set()


@pytest.mark.parametrize("name", ["architecture", "budget"])
def test_a_picture_is_what_its_program_draws_now(name: str) -> None:
    # -P: or budget.py would find itself when it asks for the package.
    program = [sys.executable, "-P", f"docs/pictures/{name}.py"]
    drawn = subprocess.run(program, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    picture = (REPOSITORY / f"docs/pictures/{name}.svg").read_text(encoding="utf-8")
    assert drawn.stdout == picture, f"{' '.join(program[1:])} > docs/pictures/{name}.svg"


def test_the_page_of_the_benchmark_names_every_peer() -> None:
    text = (REPOSITORY / "docs/reference/benchmarks.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w…-]+)`", text.partition("## What is compared")[2])
    rules = "|".join(re.escape(name).replace("…", ".+") for name in named)
    assert [name for name in peers.BY_NAME if not re.fullmatch(rules, name)] == []
