"""Links that a zip archive lost. Python's zipfile, hence cookiecutter, writes a symbolic link as a
small file with the link's target in it; the budget and the Ansible collection are such links.

Not a hook: pre_gen_project.py imports it from the repository. Standard library only.
"""

import shutil
from pathlib import Path

LONGEST = 255  # bytes of a link's target; the longest here has half of it


def restore(template: Path) -> None:
    """Put what was linked to in the place of each lost link below `template`.

    In a git checkout nothing is touched: what is written there is somebody's work.
    """
    repository = template.parent
    if (repository / ".git").exists():
        return
    for path in [path for path in template.rglob("*") if not path.is_symlink() and path.is_file()]:
        if path.stat().st_size > LONGEST:
            continue
        content = path.read_bytes()
        if not content.startswith(b"../") or b"\n" in content:
            continue
        target = (path.parent / content.decode()).resolve()
        if not target.is_relative_to(repository.resolve()) or not target.exists():
            continue
        path.unlink()
        if target.is_dir():
            shutil.copytree(target, path)
        else:
            shutil.copy2(target, path)
