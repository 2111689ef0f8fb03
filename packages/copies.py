"""Writes the copies of the packages and of the Ansible collection that the template and the
collection carry, or checks them.

    python -m packages.copies            write them: `make copies`
    python -m packages.copies --check    exit 1 and name what differs: part of `make lint`

Copies, because a link is lost in a zip archive and where git has ``core.symlinks=false``; why, and
what else was tried, is in docs/explanation/architecture.md. Standard library only.
"""

import argparse
import filecmp
import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
TEMPLATE = REPOSITORY / "{{cookiecutter.project_slug}}"
PACKAGES = ("budget", "gunicorn_budget", "localserver", "mysql_pool")
CARRIED = TEMPLATE / "deploy/collections/ansible_collections/django_budget/deploy"


def source_of(package: str) -> Path:
    """The folder in which a package is edited."""
    return REPOSITORY / "packages" / package / "src" / package


#: Original, copy, and what of the original is left out (relative).
COPIES: list[tuple[Path, Path, frozenset[str]]] = [
    *((source_of(package), TEMPLATE / package, frozenset[str]()) for package in PACKAGES),
    (
        source_of("budget"),
        REPOSITORY / "ansible/plugins/plugin_utils/budget",
        frozenset(),
    ),
    (
        REPOSITORY / "ansible",
        CARRIED,
        # A project computes with its own budget; the linter's settings are the repository's.
        frozenset({"plugins/plugin_utils", ".ansible-lint.yml"}),
    ),
]
JUNK = ("__pycache__", ".ruff_cache", ".mypy_cache", ".ansible")


def files_of(folder: Path, left_out: frozenset[str] = frozenset()) -> set[Path]:
    """The files below ``folder``, relative to it; without caches and what is left out."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file()
        and not set(path.relative_to(folder).parts) & set(JUNK)
        and not any(path.relative_to(folder).is_relative_to(each) for each in left_out)
    }


def differing() -> list[tuple[Path | None, Path]]:
    """Original and copy of each file that differs or is missing; None and what is left over."""
    found: list[tuple[Path | None, Path]] = []
    for original, copy, left_out in COPIES:
        wanted, there = files_of(original, left_out), files_of(copy)
        for name in sorted(wanted | there):
            same = (
                name in wanted
                and name in there
                and not (copy / name).is_symlink()
                and filecmp.cmp(original / name, copy / name, shallow=False)
            )
            if not same:
                found.append((original / name if name in wanted else None, copy / name))
    return found


def write() -> int:
    """Write or remove the copies that differ, and return their number."""
    changed = 0
    for original, copy in differing():
        changed += 1
        if original is None or copy.is_symlink():
            copy.unlink()
        if original is not None:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(original, copy)
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status is 1 if ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m packages.copies", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args(arguments).check:
        print(f"Files written or removed: {write()}")
        return 0
    wrong = differing()
    for original, copy in wrong:
        name = copy.relative_to(REPOSITORY)
        if original is None:
            print(f"{name} is left over: it is a copy of nothing")
        else:
            fault = "differs from" if copy.exists() else "is missing; it is a copy of"
            print(f"{name} {fault} {original.relative_to(REPOSITORY)}")
    if wrong:
        print("These are copies. Edit the originals, then run `make copies`.", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
