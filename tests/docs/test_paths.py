"""The pages that lead to files lead to files that are there, and to targets that make knows."""

import re

import pytest

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
