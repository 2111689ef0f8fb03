"""A private database server for the run, and the site on a real Gunicorn."""

import os
import signal
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from localserver.server import Server, free_port
from shop.models import Product
from tests.serving import Gunicorn
from tests.settings import SERVER_IS_THERE

PROJECT = Path(__file__).parents[1]

# A shell starts a background job with Ctrl-C ignored, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def database_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """DB_* of a private server with the budget's limits; `make test` has started one already."""
    if SERVER_IS_THERE:
        names = ("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")
        yield {name: os.environ[name] for name in names}
        return
    name = settings.DATABASES["default"]["NAME"]
    with Server(tmp_path_factory.mktemp("server"), settings.PLAN.server_options()) as server:
        server.ensure_account(
            name, "for-tests", f"test_{name}%", settings.PLAN.max_user_connections
        )
        yield {
            "DB_HOST": server.socket,
            "DB_PORT": "",
            "DB_NAME": name,
            "DB_USER": name,
            "DB_PASSWORD": "for-tests",
        }


@pytest.fixture(scope="session")
def django_db_modify_db_settings(database_account: dict[str, str]) -> None:
    """Point Django's test runner to the private server, whatever the environment says."""
    config = connections["default"].settings_dict
    for key in ("HOST", "PORT", "USER", "PASSWORD"):
        config[key] = database_account[f"DB_{key}"]


@pytest.fixture(autouse=True, scope="session")
def static_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collected as for a deployment: pages need the manifest to name their style sheet."""
    folder = tmp_path_factory.mktemp("staticfiles")
    settings.STATIC_ROOT = folder
    call_command("collectstatic", interactive=False, verbosity=0)
    return folder


@pytest.fixture
def pool_options() -> Iterator[dict[str, Any]]:
    """The pool's options in force, to be changed by a test; a changed one makes a new pool."""
    options = connections["default"].settings_dict["OPTIONS"]
    before = dict(options)
    yield options
    connections["default"].close()
    options.clear()
    options.update(before)


@pytest.fixture
def no_database(db: None) -> Iterator[None]:
    """From here on the server is looked for where nobody listens."""
    config = connections["default"].settings_dict
    before = dict(config)
    config.update(HOST="127.0.0.1", PORT=str(free_port()))
    connections["default"].close()
    yield
    connections["default"].close()
    config.update(before)


@pytest.fixture
def product(db: None) -> Product:
    """Something of which five pieces are left."""
    return Product.objects.create(sku="T-1", name="Test lamp", price="19.90", stock=5)


@pytest.fixture
def gunicorn(
    transactional_db: None, database_account: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., Gunicorn]]:
    """`gunicorn(*arguments, **environment)` serves the project on the tests' database.

    `pass_fds` are file descriptors it inherits.
    """
    running: list[Gunicorn] = []

    def start(*arguments: str, pass_fds: Collection[int] = (), **environment: str) -> Gunicorn:
        server = Gunicorn(
            PROJECT,
            arguments,
            {
                **os.environ,
                **database_account,
                "DB_NAME": connections["default"].settings_dict["NAME"],
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "LOG_LEVEL": "WARNING",
                **environment,
            },
            tmp_path / f"gunicorn-{len(running)}.log",
            pass_fds,
        )
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()
