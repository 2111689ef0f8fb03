"""docs/reference/project.md names what the project has, no more and no less."""

import re

import pytest

from tests.places import REPOSITORY

PAGE = (REPOSITORY / "docs/reference/project.md").read_text()


def test_the_page_has_every_system_check_of_the_project(project):
    there = set(re.findall(r"config\.[EW]\d{3}", (project.folder / "config/checks.py").read_text()))
    assert there
    assert set(re.findall(r"config\.[EW]\d{3}", PAGE)) == there


@pytest.mark.parametrize("name", ["config/settings.py", "gunicorn.conf.py", ".env.example"])
def test_the_page_has_every_variable_that_is_read(project, name):
    text = (project.folder / name).read_text()
    read = set(
        re.findall(r'(?:environ\.get\(|environ\[|env\.\w+\(|switch\(|one_of\()"(\w+)"', text)
    )
    read |= set(re.findall(r"(?m)^#?([A-Z_]+)=", text))
    read -= {"BUDGET_WORKER_CLASS"}  # of gunicorn.conf.py alone; "and so on" here
    assert read
    assert read <= set(re.findall(r"`([A-Z_]+)`", PAGE))


def test_the_page_has_every_path_below_api(project):
    text = (project.folder / "shop/urls.py").read_text()
    paths = set(re.findall(r'"(api/[a-z]+/)', text))
    assert paths == set(re.findall(r"/(api/[a-z]+/)", PAGE))
