"""The folders that tests look into."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
#: The folder cookiecutter renders.
TEMPLATE = REPOSITORY / "{{cookiecutter.project_slug}}"
