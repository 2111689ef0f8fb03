"""Every combination of choices: a project that reads as if a person had written it, and works."""

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import tomllib

import pytest

from tests.places import REPOSITORY

CHOICES = ("worker_class", "db_server", "db_driver", "django_version")
OPTIONS = {
    name: options
    for name, options in json.loads((REPOSITORY / "cookiecutter.json").read_text()).items()
    if name in CHOICES
}
# Each pair of choices is in one of these.
PAIRWISE = [
    ("gevent", "mariadb", "pymysql", "5.2"),
    ("gevent", "mysql", "mysqlclient", "6.1"),
    ("gthread", "mariadb", "mysqlclient", "6.1"),
    ("gthread", "mysql", "pymysql", "5.2"),
    ("sync", "mariadb", "pymysql", "6.1"),
    ("sync", "mysql", "mysqlclient", "5.2"),
]
ALL = list(itertools.product(*(OPTIONS[name] for name in CHOICES)))

#: Legal answers that nobody tries first.
UNUSUAL = {
    "an apostrophe and other scripts": {
        "project_name": "Zoë's Bücher & Café - 書店",
        "project_slug": "books",
        "author_name": "Zoë O'Brien-Łuk",
    },
    "the longest": {
        "project_name": "A name of sixty characters, which is as long as it may be xx",
        "project_slug": "a2345678901234567890_234",
        "author_name": "A person of sixty characters who is as long as may be xxxxxx",
    },
    "the widest": {"project_name": "書" * 30, "project_slug": "books", "author_name": "書" * 30},
    "the shortest": {"project_name": "x", "project_slug": "x", "author_name": "Y"},
    "one of everything": {"workers": "1", "worker_connections": "1", "conn_max_age": "1"},
    "no age for connections": {"conn_max_age": "0"},
    "many of everything": {
        "app_hosts": "20",
        "workers": "16",
        "max_connections": "20000",
        "wait_timeout": "31536000",
        "memory_mb": "1000000",
    },
}

#: What nobody wants in a new project. (.env.example is wanted.)
UNWANTED = re.compile(
    r"(^|/)(__pycache__|\.git|\.ruff_cache|\.pytest_cache|\.venv|\.env|\.localserver|\.cruft\.json"
    r"|\.DS_Store|staticfiles)(/|$)|\.(pyc|pyo|orig|rej|swp|bak)$|~$"
)
JINJA = re.compile(r"cookiecutter\.[a-z_]+|\{\{-? *cookiecutter|\{%-? *(if|endif|else|raw)\b.*-%\}")
#: Folders whose files are other people's, or templates of another language.
NOT_OURS = ("deploy/collections/", "templates/")


def named(combination):
    return dict(zip(CHOICES, combination, strict=True))


@pytest.fixture(scope="module")
def baked(bake, request):
    """The project of one parameter: a combination of choices, or unusual answers."""
    return bake(**(request.param if isinstance(request.param, dict) else named(request.param)))


every_project = pytest.mark.parametrize(
    "baked",
    [
        *(pytest.param(each, id="-".join(each)) for each in PAIRWISE),
        *(pytest.param(answers, id=name) for name, answers in UNUSUAL.items()),
        *(
            pytest.param(each, id="-".join(each), marks=pytest.mark.full)
            for each in ALL
            if each not in PAIRWISE
        ),
    ],
    indirect=True,
    scope="module",
)


def files(project):
    """Every file of a project that is text, by its path in the project."""
    found = {}
    for path in sorted(project.folder.rglob("*")):
        if path.is_file():
            try:
                found[path.relative_to(project.folder).as_posix()] = path.read_text()
            except UnicodeDecodeError:
                continue
    return found


def test_the_short_list_has_every_pair_of_choices():
    wanted = {
        frozenset(pair) for each in ALL for pair in itertools.combinations(named(each).items(), 2)
    }
    there = {
        frozenset(pair)
        for each in PAIRWISE
        for pair in itertools.combinations(named(each).items(), 2)
    }
    assert wanted == there


@every_project
class TestAProject:
    def test_is_clean_and_formatted(self, baked):
        for arguments in (["check"], ["format", "--check"]):
            done = baked.run("-m", "ruff", *arguments, "--no-cache", ".")
            assert done.returncode == 0, done.stdout + done.stderr

    def test_is_python_everywhere(self, baked):
        for name, text in files(baked).items():
            if name.endswith(".py"):
                ast.parse(text, name)

    def test_has_toml_that_is_read_back_as_it_was_answered(self, baked):
        project = tomllib.loads((baked.folder / "pyproject.toml").read_text())["project"]
        assert project["description"] == baked.answers.get("project_name", "My Project")
        assert project["authors"][0]["name"] == baked.answers.get("author_name", "Your Name")
        budget = tomllib.loads((baked.folder / "budget.toml").read_text())
        for key in ("worker_class", "workers"):
            if key in baked.answers:
                assert str(budget["application"][key]) == baked.answers[key]

    def test_has_no_jinja_left(self, baked):
        left = [name for name in files(baked) if "{" in name or "}" in name]
        left += [
            f"{name}: {match[0]}"
            for name, text in files(baked).items()
            if not name.startswith(NOT_OURS)
            for match in JINJA.finditer(text)
        ]
        assert left == []

    def test_has_no_file_that_nobody_wants(self, baked):
        paths = [path.relative_to(baked.folder).as_posix() for path in baked.folder.rglob("*")]
        assert [path for path in paths if UNWANTED.search(path)] == []
        assert {"manage.py", "budget.toml", "gunicorn.conf.py", ".env.example"} <= set(paths)

    def test_has_no_traces_of_the_road_not_taken(self, baked):
        text = (baked.folder / "pyproject.toml").read_text()
        text += (baked.folder / "config/wsgi.py").read_text()
        text += (baked.folder / "config/settings.py").read_text()
        gevent = baked.answers.get("worker_class", "gevent") == "gevent"
        assert ("gevent" in text) == gevent
        assert (baked.folder / "config/patching.py").exists() == gevent
        other = {"pymysql": "mysqlclient", "mysqlclient": "pymysql"}
        driver = baked.answers.get("db_driver", "pymysql")
        dependencies = tomllib.loads((baked.folder / "pyproject.toml").read_text())["project"][
            "dependencies"
        ]
        assert any(line.startswith(driver) for line in dependencies)
        assert not any(line.startswith(other[driver]) for line in dependencies)

    def test_has_no_untidy_lines(self, baked):
        untidy = []
        for name, text in files(baked).items():
            if name.startswith(NOT_OURS) or not text:
                continue
            if not text.endswith("\n") or text.endswith("\n\n"):
                untidy.append(f"{name}: end of file")
            if text.startswith("\n") or "\n\n\n\n" in text:
                untidy.append(f"{name}: empty lines")
            untidy += [
                f"{name}:{number}"
                for number, line in enumerate(text.splitlines(), 1)
                if line != line.rstrip()
            ]
        assert untidy == []

    @pytest.mark.server
    def test_passes_djangos_checks_and_has_all_its_migrations(self, baked, python_for, server):
        python = python_for(baked)
        server.ensure_database("checks")
        server.ensure_account("checks", "pw", "checks")
        environment = {
            "DB_HOST": server.socket,
            **dict.fromkeys(("DB_NAME", "DB_USER"), "checks"),
            "DB_PASSWORD": "pw",
            "SECRET_KEY": "x-" + "".join(map(chr, range(48, 122))),
            "ALLOWED_HOSTS": "www.example.com",
            "PYTHONWARNINGS": "error::DeprecationWarning:config,error::DeprecationWarning:shop",
        }
        done = baked.run(
            *("manage.py", "check", "--deploy", "--fail-level", "DEBUG"),
            python=python,
            **environment,
        )
        assert done.returncode == 0, done.stderr
        done = baked.run(
            *("-W", "ignore", "manage.py", "makemigrations", "--check", "--dry-run"),
            python=python,
            **environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.full
@pytest.mark.server
@pytest.mark.timeout(900)
@pytest.mark.parametrize("combination", PAIRWISE, ids="-".join)
def test_a_project_passes_its_own_tests(bake, python_for, combination):
    project = bake(**named(combination))
    done = project.run("-m", "pytest", "-q", "-p", "no:cacheprovider", python=python_for(project))
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    assert re.search(r"\d+ passed", done.stdout)


def test_the_same_answers_give_the_same_files(bake, project):
    assert files(bake()) == files(project)


def test_the_parts_without_choices_are_copied_as_they_are(project):
    """So that they can be copied from the repository too, and tested there."""
    template = REPOSITORY / "{{cookiecutter.project_slug}}"
    for name in ("gunicorn.conf.py", "manage.py", "config/checks.py", "ops/probes.py"):
        assert (project.folder / name).read_text() == (template / name).read_text()


def test_no_secret_is_generated(project):
    done = subprocess.run(
        ["grep", "-rnIE", r"(SECRET_KEY|PASSWORD)=['\"]?[A-Za-z0-9_+/-]{12,}", project.folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    assert done.returncode == 1


def test_deploying_works_in_a_folder_whose_name_make_cannot_spell(bake, tmp_path):
    project = tmp_path / "Größe 100% of it" / "books"
    shutil.copytree(bake(project_slug="books").folder, project)
    ansible = project / "deploy" / ".venv"
    playbook = ansible / "bin" / "ansible-playbook"
    playbook.parent.mkdir(parents=True)
    playbook.write_text('#!/bin/sh\necho "$PWD" "$@"\n')
    playbook.chmod(0o755)
    (ansible / "ready").touch()
    done = subprocess.run(
        ["make", "deploy", "ENV=production"],
        cwd=project,
        env={"PATH": os.environ["PATH"]},  # not what `make test ARGS=...` hands down
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == f"{project}/deploy -i inventories/production site.yml\n"
