"""A project of an earlier commit becomes by `cruft update` what would be generated now."""

import filecmp
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hooks.conftest import REPOSITORY
from tests.hooks.workplace import Workplace, git

pytestmark = pytest.mark.full

EARLIER = {
    "before the packages had a folder of their own": "c18d9fc8da881a04c1831f8652bf296c71018ee5",
    "the last one whose template had links": "0e99214bc0d8ed04fa7d5497f5d97092e202682b",
}
MINE = "\nThis line is the user's.\n"


@pytest.fixture
def template(repository: Path, tmp_path: Path) -> Path:
    """The repository with its history; its newest commit is what would be committed now."""
    template = tmp_path / "template"
    cloned = subprocess.run(
        ["git", "clone", "--quiet", "--no-checkout", str(REPOSITORY), str(template)],
        capture_output=True,
        text=True,
        check=False,
    )
    if cloned.returncode:
        pytest.skip(f"this copy of the repository has no git history: {cloned.stderr.strip()}")
    shutil.copytree(repository, template, dirs_exist_ok=True)
    git(template, "symbolic-ref", "HEAD", "refs/heads/now")
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--message=now")
    return template


@pytest.mark.parametrize("commit", EARLIER.values(), ids=EARLIER)
def test_a_project_of_an_earlier_commit_is_updated(
    workplace: Workplace, template: Path, commit: str
) -> None:
    there = ["git", "-C", template, "cat-file", "-e", f"{commit}^{{commit}}"]
    if subprocess.run(there, capture_output=True, check=False).returncode:
        pytest.skip(f"commit {commit[:7]} is not in this clone, which is a shallow one")
    created = workplace.run("cruft", "create", str(template), "--no-input", "--checkout", commit)
    assert created.returncode == 0, created.stderr
    project = workplace.out / "my_project"
    readme, budget = project / "README.md", project / "budget.toml"
    readme.write_text(readme.read_text() + MINE)
    changed = budget.read_text().replace("pool_timeout = 5 ", "pool_timeout = 4 ")
    assert changed != budget.read_text()
    budget.write_text(changed)
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=mine")

    updated = workplace.run("cruft", "update", "--skip-apply-ask", "--checkout", "now", cwd=project)
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert list(project.rglob("*.rej")) == []

    fresh = workplace.base / "fresh"
    generated = workplace.cookiecutter(template, "--output-dir", str(fresh))
    assert generated.returncode == 0, generated.stderr
    wanted = fresh / "my_project"
    # What was changed here is still here, and nothing else differs.
    assert differing(project, wanted) == {"README.md", "budget.toml"}
    assert readme.read_text() == (wanted / "README.md").read_text() + MINE
    text = (wanted / "budget.toml").read_text()
    assert budget.read_text() == text.replace("pool_timeout = 5 ", "pool_timeout = 4 ")
    done = subprocess.run(
        [sys.executable, "-m", "budget", "--json"], cwd=project, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def differing(project: Path, wanted: Path) -> set[str]:
    """Files that are in one folder only, or not the same in both; without git's and cruft's."""
    names = {
        str(path.relative_to(folder))
        for folder in (project, wanted)
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    } - {".cruft.json"}
    _, wrong, missing = filecmp.cmpfiles(project, wanted, sorted(names), shallow=False)
    return {*wrong, *missing}
