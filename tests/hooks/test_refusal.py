"""Wrong answers given to the real cookiecutter: what it says, and that nothing is left behind."""

import json
import shutil
from pathlib import Path

import pytest

from tests.hooks.workplace import Workplace


def test_every_wrong_answer_is_named_at_once(workplace: Workplace, repository: Path) -> None:
    result = workplace.cookiecutter(
        repository, project_name='a"b', project_slug="class", author_email="x", workers="1e3",
        app_hosts="-1", max_connections="٣", wait_timeout="", conn_max_age=" 5", workerz="4",
    )  # fmt: skip
    assert result.returncode == 1
    message = result.stderr
    assert "9 answers are wrong" in message
    for value in ("'a\"b'", "'class'", "'x'", "'1e3'", "'-1'", "'٣'", "''", "' 5'"):
        assert f" = {value}\n" in message
    assert (
        "workerz = '4'\n      is no prompt of this template.\n      Would do: workers=4" in message
    )
    assert "Traceback" not in message
    assert message.endswith("Nothing was generated.\n\n")
    assert workplace.left_behind() == []


@pytest.mark.parametrize(
    "value",
    [
        "'''+__import__('os').system('touch pwned')+'''",
        "x'''\n__import__('os').system('touch pwned')\n'''",
        '"""\n__import__("os").system("touch pwned")\n"""',
        "\\'''\\",
        "{% raw %}{{ 1 / 0 }}{% endraw %}",
        "a\nb\r\nc\td",
        "\x1b[31mred",
        "x" * 5000,
    ],
)
@pytest.mark.parametrize("prompt", ["project_name", "author_name", "workers"])
def test_no_answer_can_break_or_run_anything(
    workplace: Workplace, repository: Path, prompt: str, value: str
) -> None:
    answers = {"project_slug": "fine", prompt: value}
    result = workplace.cookiecutter(repository, **answers)
    assert result.returncode == 1
    assert "1 answer is wrong" in result.stderr
    assert f"  {prompt} = " in result.stderr
    assert "SyntaxError" not in result.stderr
    assert workplace.left_behind() == []


@pytest.mark.parametrize(
    "slug",
    ["../outside", "{base}/absolute", "a-b", "a\nb", "config", "x" * 25, "~", "a/../c"],
)
def test_a_slug_cannot_escape_or_leave_a_folder(
    workplace: Workplace, repository: Path, slug: str
) -> None:
    before = sorted(workplace.base.iterdir())
    result = workplace.cookiecutter(repository, project_slug=slug.format(base=workplace.base))
    assert result.returncode == 1
    assert "project_slug = " in result.stderr
    assert sorted(workplace.base.iterdir()) == before
    if slug != "a/../c":  # cookiecutter's own mkdir of "a", see the next test
        assert workplace.left_behind() == []


def test_folders_that_cookiecutter_leaves_above_the_project_are_named(
    workplace: Workplace, repository: Path
) -> None:
    result = workplace.cookiecutter(repository, project_slug="a/b/c")
    assert result.returncode == 1
    command = result.stderr.partition("if they are new to you: rmdir ")[2].split("\n")[0]
    assert command.split() == [str(workplace.out / "a/b"), str(workplace.out / "a")]
    for folder in command.split():
        Path(folder).rmdir()
    assert workplace.left_behind() == []


@pytest.mark.parametrize("slug", ["", "."])
def test_a_slug_that_is_no_name_is_refused_by_cookiecutter(
    workplace: Workplace, repository: Path, slug: str
) -> None:
    result = workplace.cookiecutter(repository, project_slug=slug)
    assert result.returncode == 1
    assert "already exists" in result.stdout
    assert workplace.left_behind() == []


@pytest.mark.parametrize("arguments", [(), ("--overwrite-if-exists",)])
def test_a_project_that_exists_stays_as_it_is(
    workplace: Workplace, repository: Path, arguments: tuple[str, ...]
) -> None:
    existing = workplace.out / "shop_site"
    existing.mkdir()
    (existing / "work.txt").write_text("days of it")
    answers = {"project_slug": "shop_site", "workers": "0"}
    result = workplace.cookiecutter(repository, *arguments, **answers)
    assert result.returncode == 1
    assert workplace.left_behind() == ["out/shop_site", "out/shop_site/work.txt"]
    assert (existing / "work.txt").read_text() == "days of it"


def test_an_output_folder_that_exists_stays(workplace: Workplace, repository: Path) -> None:
    (workplace.out / "mine").mkdir()
    result = workplace.cookiecutter(repository, "-o", "mine", workers="0")
    assert result.returncode == 1
    assert workplace.left_behind() == ["out/mine"]


def test_a_choice_that_does_not_exist_is_refused(workplace: Workplace, repository: Path) -> None:
    result = workplace.cookiecutter(repository, db_server="postgres")
    assert result.returncode == 1
    assert "postgres" in result.stderr
    assert workplace.left_behind() == []


def test_a_replayed_answer_is_checked_too(workplace: Workplace, repository: Path) -> None:
    workplace.cookiecutter(repository, workers="0")
    replay = workplace.home / ".cookiecutter_replay" / f"{repository.name}.json"
    answers = json.loads(replay.read_text())
    answers["cookiecutter"]["workers"] = "2"
    answers["cookiecutter"]["db_driver"] = "oracle"
    replay.write_text(json.dumps(answers))
    result = workplace.run("cookiecutter", "--replay", str(repository))
    assert result.returncode == 1
    assert "db_driver = 'oracle'" in result.stderr
    assert "1 answer is wrong" in result.stderr
    assert workplace.left_behind() == []


def test_modules_beside_the_rendered_hook_are_not_imported(
    workplace: Workplace, repository: Path
) -> None:
    (workplace.tmp / "json.py").write_text("raise SystemExit('imported from the tmp folder')")
    result = workplace.cookiecutter(repository, workers="0")
    assert "1 answer is wrong" in result.stderr


def test_a_repository_in_a_folder_with_an_awkward_name(
    workplace: Workplace, repository: Path
) -> None:
    awkward = workplace.base / 'it\'s "ours" \\ {{ x }} é'
    shutil.copytree(repository, awkward, symlinks=True)
    result = workplace.cookiecutter(awkward, workers="0")
    assert "1 answer is wrong" in result.stderr
    assert not list(awkward.rglob("__pycache__")), "it would be copied into the project"
