"""Each package installs from a git clone of this repository, as its README says."""

import json
import shutil
import subprocess
import venv
from pathlib import Path

import flit_core
import pytest

pytestmark = pytest.mark.full

PACKAGES = {
    "budget": "django-mysql-budget",
    "gunicorn_budget": "gunicorn-budget",
    "localserver": "mysql-localserver",
    "mysql_pool": "django-mysql-pool",
}


@pytest.fixture(scope="module")
def python(git_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the four packages and pip."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True)
    # What builds the packages is here already: so nothing is downloaded.
    shutil.copytree(Path(flit_core.__file__).parent, folder / "builds/flit_core")
    python = folder / "venv/bin/python"
    done = subprocess.run(
        [
            *(python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"),
            *(f"git+file://{git_repository}#subdirectory=packages/{name}" for name in PACKAGES),
        ],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder / "builds"), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return python


def run(python: Path, *arguments: str) -> str:
    """The output of this Python, away from the repository and without its environment."""
    done = subprocess.run(
        [python, "-I", *arguments],
        cwd=python.parent,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_imported_from_site_packages_with_all_its_files(
    python: Path, name: str, git_repository: Path
) -> None:
    source = git_repository / "packages" / name / "src" / name
    find = f"import importlib.util as i; print(i.find_spec({name!r}).origin)"
    installed = Path(run(python, "-c", find).strip()).parent
    assert installed.parent.name == "site-packages"
    assert installed.is_relative_to(python.parents[1])
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    assert {
        path.relative_to(installed)
        for path in installed.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    } == wanted


@pytest.mark.parametrize("name", PACKAGES)
def test_the_installed_version_is_the_repositorys(
    python: Path, name: str, git_repository: Path
) -> None:
    ask = f"import importlib.metadata as m; print(m.version({PACKAGES[name]!r}))"
    version = run(python, "-c", ask).strip()
    pyproject = (git_repository / f"packages/{name}/pyproject.toml").read_text()
    assert f'version = "{version}"' in pyproject


@pytest.mark.parametrize("name", PACKAGES)
def test_its_readme_tells_how_to_install_it(name: str, git_repository: Path) -> None:
    readme = (git_repository / f"packages/{name}/README.md").read_text()
    place = f"git+https://github.com/org/repository#subdirectory=packages/{name}"
    lines = [line for line in readme.splitlines() if place in line]
    assert any(PACKAGES[name] in line and line.startswith("pip install ") for line in lines)


def test_budget_computes_a_plan(python: Path) -> None:
    plan = json.loads(run(python, "-m", "budget", "--file", "/dev/null", "--json"))
    assert plan["fits"] is True


def test_localserver_has_its_command(python: Path) -> None:
    assert "start the server" in run(python, "-m", "localserver", "--help")


def test_packages_without_dependencies_import_alone(python: Path) -> None:
    run(python, "-c", "import budget.plan, budget.source, localserver.server")
