"""Probes, metrics, the budget page and `manage.py pool`, on the private server."""

import json
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from prometheus_client.parser import text_string_to_metric_families

import mysql_pool
from budget.plan import plan
from ops.limits import of_the_server, of_this_process
from ops.metrics import COUNTERS, GAUGES, STATES
from ops.server import ask_server


class Holder(threading.Thread):
    """Holds a connection in a transaction, or waits for one, until `let_go` is set."""

    def __init__(self):
        super().__init__()
        self.has_it = threading.Event()
        self.let_go = threading.Event()

    def run(self):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                self.has_it.set()
                self.let_go.wait(30)
        finally:
            connection.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.let_go.set()
        self.join()


def wait_for_queue(length):
    """Until so many wait for a connection; the pool tells nobody when that happens."""
    pause = threading.Event()
    for _ in range(1000):
        if mysql_pool.stats()["default"]["waiting"] == length:
            return
        pause.wait(0.01)
    pytest.fail(f"no {length} waiters: {mysql_pool.stats()}")


class TestLivez:
    def test_answers_without_the_database(self, client):
        # Without the `db` fixture any statement would fail.
        assert client.get("/livez").content == b"ok\n"

    @pytest.mark.parametrize("host", ["10.1.2.3:8000", "no such host"])
    def test_answers_under_any_name_and_in_plain_http(self, client, settings, host):
        settings.SECURE_SSL_REDIRECT = True
        assert client.get("/livez", headers={"host": host}).status_code == 200
        assert client.get("/", headers={"host": host}).status_code in (301, 400)

    def test_cannot_be_posted_to(self, client):
        assert client.post("/livez").status_code == 405


@pytest.mark.django_db(transaction=True)
class TestReadyz:
    def test_says_that_it_is_ready(self, client):
        response = client.get("/readyz")
        assert (response.status_code, response.json()) == (200, {"ready": True})
        assert response["Cache-Control"] == "no-store"

    def test_gives_the_reason_when_the_database_does_not_answer(self, client, no_database):
        response = client.get("/readyz")
        assert response.status_code == 503
        assert "Can't connect" in response.json()["reasons"][0]

    def test_gives_the_reason_when_the_queue_is_half_full(self, client, pool_options):
        pool_options.update(MAX_CONNS=1, MAX_WAITING=2, POOL_TIMEOUT=20)
        connection.close()
        with Holder() as holder:
            assert holder.has_it.wait(10)
            with ExitStack() as waiters:
                for _ in range(2):
                    waiters.enter_context(Holder()).let_go.set()
                waiters.callback(holder.let_go.set)  # before they are waited for
                wait_for_queue(2)
                response = client.get("/readyz")
        assert response.status_code == 503
        assert "1 of 1 connections are in use and 2 requests wait" in response.json()["reasons"][0]
        assert client.get("/readyz").status_code == 200

    def test_gives_the_reason_when_it_gets_no_connection_in_time(self, client, pool_options):
        pool_options.update(MAX_CONNS=1, POOL_TIMEOUT=0.2)
        connection.close()
        with Holder() as holder:
            assert holder.has_it.wait(10)
            response = client.get("/readyz")
        assert response.status_code == 503
        assert "POOL_TIMEOUT" in response.json()["reasons"][0]


@pytest.mark.django_db(transaction=True)
def test_a_full_pool_is_a_503_that_says_when_to_come_again(client, pool_options):
    pool_options.update(MAX_CONNS=1, POOL_TIMEOUT=0.2)
    connection.close()
    with Holder() as holder:
        assert holder.has_it.wait(10)
        response = client.get("/api/products/")
    assert response.status_code == 503
    assert response["Retry-After"]
    assert client.get("/api/products/").status_code == 200


class TestMetrics:
    @pytest.fixture
    def samples(self, client, db):
        client.get("/api/products/")
        text = client.get("/metrics").content.decode()
        return [s for family in text_string_to_metric_families(text) for s in family.samples]

    def test_are_what_the_pool_has_counted(self, samples):
        stats = mysql_pool.stats()["default"]
        value = {
            s.name: s.value
            for s in samples
            if s.labels.get("alias") == "default" and "state" not in s.labels
        }
        assert value["mysql_pool_size"] == stats["max_conns"]
        assert value["mysql_pool_checkouts_total"] == stats["checkouts"]
        assert value["mysql_pool_created_total"] == stats["created"] >= 1

    def test_are_every_number_of_the_pool(self):
        exported = {key for _, key, _ in (*GAUGES, *COUNTERS)} | {*STATES, "closed", "pinned"}
        # All that are open are the sum of the states.
        assert mysql_pool.stats()["default"].keys() - {"open"} == exported

    def test_are_told_apart_by_worker(self, samples):
        pool = [s for s in samples if s.name.startswith("mysql_pool")]
        assert pool
        assert all(s.labels["pid"] for s in pool)

    def test_are_not_shown_to_who_comes_through_the_proxy(self, client):
        assert client.get("/metrics", headers={"x-forwarded-for": "1.2.3.4"}).status_code == 404


class TestTheBudgetPage:
    def test_is_for_staff(self, client, db):
        assert client.get("/ops/")["Location"] == "/ops/budget/"
        response = client.get("/ops/budget/")
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")

    def test_shows_every_limit_and_marks_what_differs(self, client, db, settings):
        client.force_login(User.objects.create_superuser("admin"))
        text = client.get("/ops/budget/").content.decode()
        assert all(limit.name in text for limit in settings.PLAN.limits)
        assert "wrong" not in text
        settings.PLAN = plan(replace(settings.PLAN.budget, wait_timeout=601))
        assert 'class="number wrong">600<' in client.get("/ops/budget/").content.decode()

    def test_uses_the_names_of_the_budget(self, db, settings):
        named = {limit.name for limit in settings.PLAN.limits}
        assert of_this_process("default").keys() <= named
        assert of_the_server(ask_server()).keys() <= named


def test_the_server_tells_this_accounts_connections_from_all(db):
    live = ask_server()
    assert live.account.startswith(connection.settings_dict["USER"] + "@")
    assert 1 <= live.connections_of_account <= live.connections <= live.most_connections


@pytest.mark.django_db
class TestThePoolCommand:
    def test_shows_the_budget_beside_what_is_in_force(self, capsys, settings):
        call_command("pool")
        line = next(
            line for line in capsys.readouterr().out.splitlines() if "MAX_USER_CONN" in line
        )
        planned = str(settings.PLAN.max_user_connections)
        assert line.split()[-2:] == [planned, planned]

    def test_is_readable_by_programs(self, capsys, settings):
        call_command("pool", "--json")
        answer = json.loads(capsys.readouterr().out)
        assert answer["plan"]["pool_size"] == settings.PLAN.pool_size
        assert answer["server"]["wait_timeout"] == settings.PLAN.budget.wait_timeout

    def test_fails_where_the_server_does_not_keep_the_budget(self, settings, capsys):
        settings.PLAN = plan(replace(settings.PLAN.budget, wait_timeout=601))
        with pytest.raises(CommandError, match="does not keep the budget"):
            call_command("pool")
        assert "config.E012" in capsys.readouterr().out

    def test_knows_which_aliases_there_are(self):
        with pytest.raises(CommandError, match="no database alias 'defualt', only default"):
            call_command("pool", database="defualt")
