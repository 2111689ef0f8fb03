"""Single parts, copied into a project that knows nothing of this template."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localserver.server import Server, free_port
from packages.gunicorn_budget.tests.gunicorns import PATIENCE, starting_in

SETTINGS = """
SECRET_KEY = "x" * 50
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
ROOT_URLCONF = "site_urls"
ALLOWED_HOSTS = ["127.0.0.1"]
MIDDLEWARE = ["mysql_pool.middleware.PoolTimeoutMiddleware"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "mysql_pool",
        "NAME": "foreign",
        "USER": "foreign",
        "PASSWORD": "pw",
        "HOST": SOCKET,
        "OPTIONS": {"MAX_CONNS": 3, "POOL_TIMEOUT": 2},
    }
}
"""
URLS = """
from django.contrib.auth.models import Group
from django.http import JsonResponse
from django.urls import path

def groups(request):
    return JsonResponse({"groups": Group.objects.count()})

urlpatterns = [path("", groups)]
"""
PLAIN_APPLICATION = """
import os, sys

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ.get("BUDGET_WORKERS", "none").encode()]
"""


class TestGunicornConfAlone:
    @pytest.fixture(autouse=True)
    def foreign(self, tmp_path, project):
        shutil.copy(project.folder / "gunicorn.conf.py", tmp_path)
        (tmp_path / "app.py").write_text(PLAIN_APPLICATION)

    def test_serves_with_safe_defaults_and_says_that_nothing_is_checked(self, gunicorn):
        server = gunicorn("app")
        assert server.get() == "none"
        assert "no budget.toml beside it and no BUDGET_FILE" in server.output()
        assert "Using worker: gthread" in server.output()
        server.has_workers(2)

    @pytest.mark.parametrize("name", ["BUDGET_WORKERS", "WEB_CONCURRENCY"])
    @pytest.mark.parametrize(
        ("worker_class", "used"),
        [("gevent", "gunicorn_budget.worker.FairGeventWorker"), ("sync", "sync")],
    )
    def test_takes_the_documented_variables(self, gunicorn, name, worker_class, used):
        server = gunicorn("app", BUDGET_WORKER_CLASS=worker_class, **{name: "3"})
        server.get()
        assert f"Using worker: {used}\n" in server.output()
        server.has_workers(3)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("BUDGET_WORKERS", "0"),
            ("BUDGET_WORKERS", "many"),
            ("BUDGET_THREADS", "1e3"),
            ("BUDGET_WORKER_CLASS", "eventlet"),
        ],
    )
    def test_refuses_a_value_that_is_none(self, gunicorn, name, value):
        server = gunicorn("app", **{name: value})
        assert server.process.wait(PATIENCE) == 1
        assert name in server.output()
        assert repr(value) in server.output()
        assert "Traceback" not in server.output()

    # A module of the name hides the package that is installed here.
    @pytest.mark.parametrize(
        ("module", "lacks", "used"),
        [
            ("gunicorn_budget", "gunicorn_budget cannot be imported", "gevent"),
            (
                "budget",
                "budget.fields cannot be imported",
                "gunicorn_budget.worker.FairGeventWorker",
            ),
        ],
    )
    def test_serves_without_one_of_its_packages_and_names_it(
        self, gunicorn, tmp_path, project, module, lacks, used
    ):
        shutil.copy(project.folder / "budget.toml", tmp_path)
        (tmp_path / f"{module}.py").write_text("MONEY = 3\n")
        server = gunicorn("app", BUDGET_WORKER_CLASS="gevent")
        assert server.get() == "none"
        assert f"{lacks}. No limit of a database is checked." in server.output()
        assert f"Using worker: {used}\n" in server.output()


class TestGunicornConfWithTheBudget:
    @pytest.fixture(autouse=True)
    def foreign(self, tmp_path, project):
        shutil.copy(project.folder / "gunicorn.conf.py", tmp_path)
        shutil.copy(project.folder / "budget.toml", tmp_path)
        for package in ("budget", "gunicorn_budget"):
            shutil.copytree(project.folder / package, tmp_path / package)
        (tmp_path / "app.py").write_text(PLAIN_APPLICATION)

    def test_hands_the_checked_budget_to_the_workers(self, gunicorn):
        server = gunicorn("app", "--workers", "1")
        assert server.get() == "1"
        assert "Connection budget: 1 workers" in server.output()

    def test_refuses_what_does_not_fit(self, gunicorn):
        server = gunicorn("app", "--workers", "100")
        assert server.process.wait(PATIENCE) == 1
        assert "B020" in server.output()
        assert "Listening" not in server.output()

    def test_says_so_when_the_numbers_are_missing(self, gunicorn, tmp_path):
        (tmp_path / "budget.toml").unlink()
        server = gunicorn("app")
        assert server.process.wait(PATIENCE) == 1
        assert "budget.toml" in server.output()
        assert "Traceback" not in server.output()

    @pytest.mark.parametrize("options", [[], ["--chdir", ".."]])
    def test_refuses_to_start_elsewhere(self, tmp_path, options):
        (tmp_path / "elsewhere").mkdir()
        with starting_in(tmp_path / "elsewhere") as start:
            server = start("-c", "../gunicorn.conf.py", *options, "app")
            assert server.process.wait(PATIENCE) == 1
            assert f"start Gunicorn in {tmp_path}" in server.output()
            assert "Traceback" not in server.output()


@pytest.mark.server
class TestThePoolAlone:
    @pytest.fixture
    def foreign(self, tmp_path: Path, project, server: Server) -> Path:
        """A plain Django project with nothing of ours but the folder mysql_pool."""
        server.ensure_database("foreign")
        server.ensure_account("foreign", "pw", "foreign")
        shutil.copytree(project.folder / "mysql_pool", tmp_path / "mysql_pool")
        (tmp_path / "site_settings.py").write_text(SETTINGS.replace("SOCKET", repr(server.socket)))
        (tmp_path / "site_urls.py").write_text(URLS)
        (tmp_path / "site_wsgi.py").write_text(
            "import os\n"
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'site_settings'\n"
            "from django.core.wsgi import get_wsgi_application\n"
            "application = get_wsgi_application()\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--verbosity=0"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(tmp_path),
                "DJANGO_SETTINGS_MODULE": "site_settings",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return tmp_path

    @pytest.mark.parametrize("worker_class", ["gevent", "gthread", "sync"])
    def test_serves_a_foreign_project(self, foreign, gunicorn, worker_class):
        server = gunicorn("-k", worker_class, "-b", f"127.0.0.1:{free_port()}", "site_wsgi")
        server.port = int(server.process.args[-2].rpartition(":")[2])
        assert server.get() == '{"groups": 0}'
