"""Where things are, and what the private servers of the tests are started with."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
#: The folder cookiecutter renders.
TEMPLATE = REPOSITORY / "{{cookiecutter.project_slug}}"
#: Enough for the tests, few enough that a leak of connections is seen as one.
SERVER_OPTIONS = {"max_connections": "60", "innodb_buffer_pool_size": "64M"}
