"""What README.md shows works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def example(language: str, beginning: str) -> str:
    """The one code block of README.md in ``language`` that begins so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(beginning)]
    return block


def test_the_example_in_python(tmp_path: Path) -> None:
    code = example("python", "from localserver")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    socket, port, rows = done.stdout.split(" ", 2)
    assert socket.endswith(".sock")
    assert int(port) > 0
    assert rows == "[['51']]\n"


def test_the_example_of_the_command(tmp_path: Path) -> None:
    command = example("sh", "python -m localserver")
    assert command.startswith("python ")
    done = subprocess.run(
        ["sh", "-c", command.replace("python", sys.executable, 1)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "database shop, account shop\n"
