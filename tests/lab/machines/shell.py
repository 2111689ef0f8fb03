"""Runs one command of this machine and gives its output."""

import subprocess


def run(*args, check=True, quiet=False, **options):
    """Standard output of a command; raises CalledProcessError when `check` and it fails."""
    if quiet:
        options.setdefault("stderr", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([str(a) for a in args], check=check, text=True, **options).stdout


def write(path, text, mode=0o644):
    """Write a file with its folder and its mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
