"""`python -m packages.copies` finds every way in which a copy can differ, and mends it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEMPLATE = "{{cookiecutter.project_slug}}"
CARRIED = f"{TEMPLATE}/deploy/collections/ansible_collections/django_budget/deploy"


@pytest.fixture
def tree(repository: Path, tmp_path: Path) -> Path:
    """What of the repository the program works on, with its copies in order."""
    tree = tmp_path / "tree"
    for folder in ("packages", "ansible", TEMPLATE):
        shutil.copytree(repository / folder, tree / folder, symlinks=True)
    assert copies(tree).returncode == 0
    return tree


def copies(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program of this tree."""
    return subprocess.run(
        [sys.executable, "-B", "-m", "packages.copies", *arguments],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


def test_copies_in_order_are_not_written_again(tree: Path) -> None:
    checked = copies(tree, "--check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert copies(tree).stdout == "Files written or removed: 0\n"


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        (f"{TEMPLATE}/budget/fields.py", "packages/budget/src/budget/fields.py"),
        (f"{TEMPLATE}/localserver/serve.py", "packages/localserver/src/localserver/serve.py"),
        (
            "ansible/plugins/plugin_utils/budget/fields.py",
            "packages/budget/src/budget/fields.py",
        ),
        (f"{CARRIED}/galaxy.yml", "ansible/galaxy.yml"),
    ],
)
@pytest.mark.parametrize("fault", ["changed", "missing", "a link"])
def test_a_wrong_copy_is_named_and_mended(tree: Path, copy: str, original: str, fault: str) -> None:
    wrong = tree / copy
    if fault == "changed":
        wrong.write_text(wrong.read_text() + "\n")
    else:
        wrong.unlink()
    if fault == "a link":
        wrong.symlink_to(tree / original)

    checked = copies(tree, "--check")
    assert checked.returncode == 1
    said = "is missing; it is a copy of" if fault == "missing" else "differs from"
    assert checked.stdout == f"{copy} {said} {original}\n"
    assert "Edit the originals, then run `make copies`" in checked.stderr

    assert copies(tree).stdout == "Files written or removed: 1\n"
    assert not wrong.is_symlink()
    assert wrong.read_bytes() == (tree / original).read_bytes()
    assert copies(tree, "--check").returncode == 0


@pytest.mark.parametrize(
    "left_over",
    [
        f"{TEMPLATE}/mysql_pool/renamed.py",
        f"{CARRIED}/roles/old/tasks/main.yml",
        # The original is there, and is not to be copied.
        f"{CARRIED}/plugins/plugin_utils/budget/plan.py",
    ],
)
def test_a_file_without_an_original_is_named_and_removed(tree: Path, left_over: str) -> None:
    (tree / left_over).parent.mkdir(parents=True, exist_ok=True)
    (tree / left_over).write_text("")
    checked = copies(tree, "--check")
    assert checked.returncode == 1
    assert checked.stdout == f"{left_over} is left over: it is a copy of nothing\n"
    copies(tree)
    assert not (tree / left_over).exists()
    assert copies(tree, "--check").returncode == 0


def test_a_new_original_is_carried_to_every_copy(tree: Path) -> None:
    (tree / "packages/budget/src/budget/new.py").write_text("NEW = 1\n")
    checked = copies(tree, "--check")
    assert checked.returncode == 1
    assert len(checked.stdout.splitlines()) == 2
    copies(tree)
    for folder in (f"{TEMPLATE}/budget", "ansible/plugins/plugin_utils/budget"):
        assert (tree / folder / "new.py").read_text() == "NEW = 1\n"
    # A project computes with its own budget; its collection has none.
    assert not (tree / CARRIED / "plugins/plugin_utils").exists()


def test_caches_are_no_part_of_a_copy(tree: Path) -> None:
    for cache in ("__pycache__/fields.cpython-311.pyc", ".mypy_cache/x.json"):
        for folder in ("packages/budget/src/budget", f"{TEMPLATE}/budget"):
            (tree / folder / cache).parent.mkdir(exist_ok=True)
            (tree / folder / cache).write_text(folder)
    assert copies(tree, "--check").returncode == 0


def test_this_repository_has_no_links(repository: Path) -> None:
    """A link is lost in a zip archive, and where git has core.symlinks=false."""
    assert [path for path in repository.rglob("*") if path.is_symlink()] == []
