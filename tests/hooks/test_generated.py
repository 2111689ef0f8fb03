"""Good answers: what is said afterwards, and that the hooks work wherever the template is from."""

import shutil
from pathlib import Path

import pytest

from budget.source import load
from tests.hooks.workplace import Workplace, git


def test_the_budget_and_the_next_commands_are_printed(
    workplace: Workplace, repository: Path
) -> None:
    result = workplace.cookiecutter(repository, project_name="Corner Store", app_hosts="2")
    assert result.returncode == 0, result.stderr
    assert "# 92 in the pools   + 46 more at a reload   . 2 left   R 11 reserved" in result.stdout
    assert "Next:\n  cd corner_store\n  make run\n  make test\n" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr
    project = workplace.out / "corner_store"
    assert load(project / "budget.toml", {}).hosts == 2
    assert not list(project.rglob("__pycache__"))
    assert list(workplace.tmp.iterdir()) == []


def test_numbers_of_the_shell_do_not_change_the_summary(
    workplace: Workplace, repository: Path
) -> None:
    workplace.environ = {"BUDGET_WORKERS": "9", "BUDGET_NONSENSE": "1"}
    result = workplace.cookiecutter(repository)
    assert result.returncode == 0, result.stderr
    assert "1 host x 2 gevent workers" in result.stdout


def test_the_next_commands_start_where_the_person_is(
    workplace: Workplace, repository: Path
) -> None:
    inside = workplace.cookiecutter(repository, "-o", "my projects")
    assert "  cd 'my projects/my_project'\n" in inside.stdout
    outside = workplace.cookiecutter(repository, "-o", str(workplace.base / "elsewhere"))
    assert f"  cd {workplace.base}/elsewhere/my_project\n" in outside.stdout
    workplace.environ = {"PWD": ""}  # only shells say where they are
    nowhere = workplace.cookiecutter(repository, "-o", "third")
    assert f"  cd {workplace.out}/third/my_project\n" in nowhere.stdout


@pytest.mark.parametrize("workers", ["2", "0"])
def test_from_a_zip_file(workplace: Workplace, git_repository: Path, workers: str) -> None:
    # As GitHub makes them: with links, which Python's zipfile writes as small files.
    zipped = workplace.base / "template.zip"
    git(git_repository, "archive", "--prefix=template-main/", f"--output={zipped}", "HEAD")
    _generates_or_refuses(workplace, str(zipped), workers)
    if workers == "2":
        project = workplace.out / "my_project"
        collection = project / "deploy/collections/ansible_collections/django_budget/deploy"
        assert (collection / "roles" / "plan" / "tasks" / "main.yml").is_file()
        assert "namespace: django_budget" in (collection / "galaxy.yml").read_text()


@pytest.mark.parametrize("workers", ["2", "0"])
def test_from_a_git_url(workplace: Workplace, git_repository: Path, workers: str) -> None:
    _generates_or_refuses(workplace, f"git+file://{git_repository}", workers)


@pytest.mark.parametrize("workers", ["2", "0"])
def test_from_a_relative_path(workplace: Workplace, repository: Path, workers: str) -> None:
    (workplace.out / "link").symlink_to(repository)
    _generates_or_refuses(workplace, "./link", workers)


def _generates_or_refuses(workplace: Workplace, template: str, workers: str) -> None:
    result = workplace.cookiecutter(template, workers=workers)
    project = workplace.out / "my_project"
    if workers == "0":
        assert result.returncode == 1
        assert "1 answer is wrong" in result.stderr
        assert not project.exists()
    else:
        assert result.returncode == 0, result.stderr
        assert (project / "budget" / "plan.py").is_file()


def test_cruft_creates_and_updates(workplace: Workplace, git_repository: Path) -> None:
    template = workplace.base / "template"
    shutil.copytree(git_repository, template, symlinks=True)
    created = workplace.run("cruft", "create", str(template), "--no-input")
    assert created.returncode == 0, created.stderr
    project = workplace.out / "my_project"
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=mine")

    toml = template / "{{cookiecutter.project_slug}}" / "budget.toml"
    toml.write_text(toml.read_text().replace("pool_timeout = 5 ", "pool_timeout = 6 "))
    git(template, "commit", "--quiet", "--all", "--message=second")
    updated = workplace.run("cruft", "update", "--skip-apply-ask", cwd=project)
    assert updated.returncode == 0, updated.stderr
    assert load(project / "budget.toml", {}).pool_timeout == 6
    assert not list(project.rglob("*.rej"))


def test_cruft_refuses_wrong_answers(workplace: Workplace, git_repository: Path) -> None:
    given = '{"workers": "0", "project_slug": "../x"}'
    result = workplace.run(
        "cruft", "create", str(git_repository), "--no-input", "--extra-context", given
    )
    assert result.returncode == 1
    assert "2 answers are wrong" in result.stderr
    assert sorted(path.name for path in workplace.base.iterdir()) == ["home", "out", "tmp"]
    assert list(workplace.out.iterdir()) == []
