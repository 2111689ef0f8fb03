"""Runs the real cookiecutter and cruft in a home of their own, and sees what they leave behind."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


def git(folder: Path, *arguments: str) -> None:
    """Run git in `folder`, whoever the user is."""
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@dataclass
class Workplace:
    """A home, a folder of temporary files, and an empty folder to generate into."""

    base: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in (self.home, self.tmp, self.out):
            folder.mkdir()

    @property
    def home(self) -> Path:
        return self.base / "home"

    @property
    def tmp(self) -> Path:
        return self.base / "tmp"

    @property
    def out(self) -> Path:
        return self.base / "out"

    def cookiecutter(
        self, template: Path | str, *arguments: str, **answers: str
    ) -> subprocess.CompletedProcess[str]:
        """Generate without questions; `answers` as on the command line."""
        given = [f"{name}={value}" for name, value in answers.items()]
        return self.run("cookiecutter", "--no-input", *arguments, "--", str(template), *given)

    def run(self, module: str, *arguments: str, **options: object) -> subprocess.CompletedProcess:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.tmp),
            "PWD": str(self.out),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **self.environ,
        }
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=options.pop("cwd", self.out),
            env={name: value for name, value in environ.items() if value},  # "": not set
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    def left_behind(self) -> list[str]:
        """Everything below the folder to generate into and the folder of temporary files."""
        return sorted(
            str(path.relative_to(self.base))
            for folder in (self.out, self.tmp)
            for path in folder.rglob("*")
        )
