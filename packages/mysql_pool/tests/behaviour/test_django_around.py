"""manage.py, the test runner's database, middleware, signals: what Django does around a query."""

import io
import os
import subprocess
import sys

import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, connections, transaction
from django.db.backends.signals import connection_created
from django.test import RequestFactory
from django.test.utils import override_settings, setup_databases, teardown_databases

from mysql_pool import stats
from mysql_pool.concurrency import patched
from mysql_pool.middleware import PoolTimeoutMiddleware
from packages.mysql_pool.tests.behaviour.scene import (
    DATABASE,
    DRIVER,
    PASSWORD,
    RELEASE,
    USER,
    Threads,
    end_request,
    eventually,
    run,
)


def test_manage_py_commands_work(server):
    call_command("check", databases=["default"])
    call_command("migrate", verbosity=0)
    models = io.StringIO()
    call_command("inspectdb", "auth_group", stdout=models)
    assert "class AuthGroup" in models.getvalue()
    server.sql("DROP DATABASE pooltest")
    server.ensure_database("pooltest")


def test_a_process_that_ends_says_goodbye_to_the_server(server, seen):
    """Else each `manage.py` is an "Aborted connection" in the server's log and its counters."""
    program = """
import sys
from packages.mysql_pool.tests.behaviour import scene
scene.connections.databases["default"]["HOST"] = sys.argv[1]
scene.run("SELECT 1")
scene.connections.close_all()
"""
    if patched():
        program = f"from gevent import monkey; monkey.patch_all()\n{program}"

    def aborted():
        return server.sql("SHOW GLOBAL STATUS LIKE 'Aborted_clients'")

    before = aborted()
    subprocess.run(
        [sys.executable, "-c", program, str(server.socket)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    eventually(lambda: seen.connections() == 0)
    assert aborted() == before


def test_the_test_runners_database_has_a_pool_of_its_own(server, use):
    run("SELECT 1")
    end_request()
    server.ensure_account("pool", "secret", "test_pooltest")
    with override_settings(INSTALLED_APPS=[]):
        old = setup_databases(verbosity=0, interactive=False, aliases={"default"})
        try:
            assert run("SELECT DATABASE()") == (("test_pooltest",),)
        finally:
            end_request()
            connections.close_all()
            teardown_databases(old, verbosity=0)
    use()
    assert run("SELECT DATABASE()") == (("pooltest",),)


def test_connection_created_is_sent_as_django_documents():
    seen = []
    receiver = lambda connection, **kwargs: seen.append(connection.alias)  # noqa: E731
    connection_created.connect(receiver)
    try:
        connection.close()
        run("SELECT 1")
        run("SELECT 1")
    finally:
        connection_created.disconnect(receiver)
    assert seen == ["default"]


def test_what_a_receiver_of_connection_created_sets_holds_on_every_connection(use):
    use(MAX_CONNS=3, POOL_TIMEOUT=30)
    told = []

    def receiver(connection, **kwargs):
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION lock_wait_timeout = 9, @mine = 'receiver'")
        told.append(connection.alias)

    look = "SELECT @@lock_wait_timeout, @mine, SLEEP(0.1)"
    connection_created.connect(receiver)
    try:
        Threads(3, lambda number: (connection.ensure_connection(), end_request())).join()
        assert Threads(3, lambda number: run(look)).join() == [((9, "receiver", 0),)] * 3
        end_request()
        assert stats()["default"]["created"] == 3
        assert stats()["default"]["in_use"] == 0
        for _ in range(3):
            run("SET SESSION lock_wait_timeout = 8, @mine = NULL")
            end_request()
            assert run(look) == ((9, "receiver", 0),)
            end_request()
    finally:
        connection_created.disconnect(receiver)
    assert len(told) >= 3


def test_a_project_may_have_an_engine_of_its_own_that_adds_to_this_one(server, tmp_path):
    """Its DRIVER counts, and its checks are run."""
    (tmp_path / "own_engine").mkdir()
    (tmp_path / "own_engine/__init__.py").touch()
    (tmp_path / "own_engine/base.py").write_text(
        "from mysql_pool import base\n"
        "class DatabaseWrapper(base.DatabaseWrapper):\n"
        "    own = True\n"
    )
    program = f"""
import sys
from django.conf import settings
settings.configure(DATABASES={{"default": {{
    "ENGINE": "own_engine", "NAME": {DATABASE!r}, "USER": {USER!r}, "PASSWORD": {PASSWORD!r},
    "HOST": {str(server.socket)!r}, "OPTIONS": {{"DRIVER": {DRIVER!r}, "RELEASE": {RELEASE!r}}},
}}}})
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
    print(cursor.fetchone()[0])
from mysql_pool import close_pool, stats
from mysql_pool.base import driver
print(connection.own, driver.NAME, stats()["default"]["created"])
connection.close()
close_pool()
"""
    if patched():
        program = f"from gevent import monkey; monkey.patch_all()\n{program}"
    told = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["1", "True", DRIVER, "1"]


@pytest.mark.parametrize("place", ["view", "middleware"])
def test_a_full_pool_answers_503_with_retry_after(use, place):
    from django.core.handlers.exception import convert_exception_to_response

    use(MAX_CONNS=1, POOL_TIMEOUT=1)

    def view(request):
        run("SELECT 1")

    def handle(number):
        request = RequestFactory().get("/")
        middleware = PoolTimeoutMiddleware(convert_exception_to_response(view))
        if place == "middleware":
            with override_settings(ROOT_URLCONF=run.__module__, DEBUG=False):
                return middleware(request)
        try:
            view(request)
        except Exception as error:
            return middleware.process_exception(request, error)

    with transaction.atomic():
        run("SELECT 1")
        (response,) = Threads(1, handle).join()
    assert response.status_code == 503
    assert response["Retry-After"] == "1"


def test_other_errors_stay_what_they_are():
    middleware = PoolTimeoutMiddleware(lambda request: None)
    with pytest.raises(ProgrammingError) as raised:
        run("SELECT * FROM nowhere")
    assert middleware.process_exception(RequestFactory().get("/"), raised.value) is None


def test_the_end_of_the_request_gives_the_connection_back():
    run("SELECT 1")
    assert stats()["default"]["in_use"] == (1 if RELEASE == "request" else 0)
    end_request()
    assert stats()["default"]["in_use"] == 0


def test_stats_add_up():
    for _ in range(4):
        run("SELECT 1")
        end_request()
    now = stats()["default"]
    assert now["checkouts"] >= 4
    assert now["open"] == now["idle"] == 1
    assert now["created"] == now["peak"] == 1
    assert connection.alias in stats()
