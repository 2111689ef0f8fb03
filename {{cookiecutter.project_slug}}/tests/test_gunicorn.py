"""Gunicorn with gunicorn.conf.py: what is in force, and what keeps it from starting."""

import re
import runpy
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from budget.plan import plan
from gunicorn_budget.worker_kinds import CLASSES
from shop.models import Product
from tests.serving import end

PROJECT = Path(__file__).parents[1]
BUDGET = settings.PLAN.budget
TOO_MANY = str(BUDGET.max_connections)  # workers; each needs a connection, some are reserved


def pool_sizes(server):
    """The pool size that each worker works with, by its process id."""
    return server.gauges("mysql_pool_size")


def status(name):
    """A counter of the server; reading it is a statement as well."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE %s", [name])
        return int(cursor.fetchone()[1])


def backlog_of(listening):
    """The length of a socket's accept queue, as `ss -l` shows it in Send-Q."""
    # tcpi_sacked of struct tcp_info (linux/tcp.h), which means this for a socket that listens
    return struct.unpack_from("I", listening.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 32), 28)[0]


class TestItStarts:
    def test_with_what_the_budget_says(self, gunicorn):
        server = gunicorn().wait()
        assert len(server.workers()) == BUDGET.workers
        assert set(pool_sizes(server).values()) == {settings.PLAN.pool_most}

    @pytest.mark.parametrize("by", ["the environment", "the command line", "WEB_CONCURRENCY"])
    def test_with_other_workers_and_pools_that_fit_them(self, gunicorn, by):
        workers = BUDGET.workers + 1
        if by == "the command line":
            server = gunicorn("--workers", str(workers))
        elif by == "the environment":
            server = gunicorn(BUDGET_WORKERS=str(workers))
        else:
            server = gunicorn(WEB_CONCURRENCY=str(workers))
        server.wait()
        assert len(server.workers()) == workers
        expected = plan(replace(BUDGET, workers=workers)).pool_most
        assert set(pool_sizes(server).values()) == {expected}

    def test_and_a_page_of_one_query_sends_one_statement(self, gunicorn):
        product = Product.objects.create(sku="G-1", name="Lamp", price=1, stock=1)
        server = gunicorn(BUDGET_WORKERS="1").wait()
        path = f"/api/products/{product.pk}/"
        assert server.get(path)[0] == 200  # connects, and asks the server for its version
        before = status("Questions")
        for _ in range(10):
            assert server.get(path)[0] == 200
        assert status("Questions") - before == 10 + 1  # one for the second look


class TestBehindAProxy:
    @pytest.fixture
    def server(self, gunicorn):
        return gunicorn(SECURE_SSL="on").wait()

    def test_plain_http_is_sent_to_https(self, server):
        assert server.get("/api/products/")[0] == 301
        assert server.get("/api/products/", **{"X-Forwarded-Proto": "http"})[0] == 301

    def test_what_the_proxy_took_in_https_is_answered(self, server):
        assert server.get("/api/products/", **{"X-Forwarded-Proto": "https"})[0] == 200

    def test_a_host_that_is_not_ours_is_refused(self, server):
        headers = {"X-Forwarded-Proto": "https", "Host": "evil.example"}
        assert server.get("/api/products/", **headers)[0] == 400


class TestItDoesNotStart:
    def refused(self, server):
        assert server.exit_code() == 1
        assert "Listening" not in server.output()
        assert "Traceback" not in server.output()
        return server.output()

    def test_with_more_workers_than_fit(self, gunicorn):
        for server in (
            gunicorn("--workers", TOO_MANY),
            gunicorn(BUDGET_WORKERS=TOO_MANY),
            gunicorn(WEB_CONCURRENCY=TOO_MANY),
            gunicorn(GUNICORN_CMD_ARGS=f"--workers={TOO_MANY}"),
        ):
            text = self.refused(server)
            assert "The connection budget cannot be kept." in text
            assert "B020" in text

    def test_with_a_timeout_longer_than_the_proxy_waits(self, gunicorn):
        assert "B041" in self.refused(gunicorn("--timeout", "1000"))

    def test_with_a_worker_class_the_budget_does_not_know(self, gunicorn):
        server = gunicorn("--worker-class", "gunicorn.workers.base.Worker")
        assert "worker_class = 'Worker'" in self.refused(server)

    def test_with_a_variable_of_its_own_that_is_no_number(self, gunicorn):
        text = self.refused(gunicorn(GUNICORN_MAX_REQUESTS="1e5"))
        assert "GUNICORN_MAX_REQUESTS is '1e5'" in text

    def test_with_a_budget_that_cannot_be_read(self, gunicorn):
        assert "/no/budget.toml" in self.refused(gunicorn(BUDGET_FILE="/no/budget.toml"))


class TestWhileItRuns:
    def test_nobody_adds_a_worker_that_is_not_planned(self, gunicorn):
        server = gunicorn().wait()
        before = server.workers()
        server.signal(signal.SIGTTIN)
        server.until(lambda: "workers refused" in server.output())
        server.signal(signal.SIGUSR1)  # one after the other: TTIN is done with by then
        server.until(lambda: "Handling signal: usr1" in server.output())
        assert server.workers() == before

    def test_a_worker_that_died_is_replaced_by_one_with_the_same_pool(self, gunicorn, tmp_path):
        file = tmp_path / "budget.toml"
        file.write_text((PROJECT / "budget.toml").read_text())
        server = gunicorn(BUDGET_FILE=str(file)).wait()
        # An edit that is not reloaded must not reach a single new worker.
        file.write_text(re.sub(r"(?m)^reserved = \d+", "reserved = 30", file.read_text()))
        victim = min(server.workers())
        end(victim)
        server.until(lambda: victim not in server.workers())
        server.until(lambda: len(server.workers()) == BUDGET.workers)
        assert set(pool_sizes(server).values()) == {settings.PLAN.pool_most}

    def test_a_reload_takes_a_new_budget(self, gunicorn, tmp_path):
        file = tmp_path / "budget.toml"
        file.write_text((PROJECT / "budget.toml").read_text())
        server = gunicorn(BUDGET_FILE=str(file)).wait()
        old = server.workers()
        workers = BUDGET.workers + 1
        file.write_text(re.sub(r"(?m)^workers = \d+", f"workers = {workers}", file.read_text()))
        server.signal(signal.SIGHUP)
        server.until(lambda: len(server.workers()) == workers and not server.workers() & old)
        expected = plan(replace(BUDGET, workers=workers)).pool_most
        sizes = pool_sizes(server)
        assert {sizes[pid] for pid in server.workers()} == {expected}

    def test_a_socket_it_was_given_gets_the_backlog_at_start_and_reload(self, gunicorn, tmp_path):
        file = tmp_path / "budget.toml"
        file.write_text((PROJECT / "budget.toml").read_text())
        with socket.create_server(("127.0.0.1", 0), backlog=1) as held:
            server = gunicorn(
                "--bind", f"fd://{held.fileno()}", BUDGET_FILE=str(file), pass_fds=[held.fileno()]
            )
            server.until(lambda: backlog_of(held) == settings.PLAN.backlog)
            clients = settings.PLAN.backlog + 1  # of one worker
            larger = plan(replace(BUDGET, worker_connections=clients, threads=clients))
            text = file.read_text()
            for name in ("worker_connections", "threads"):
                text = re.sub(rf"(?m)^{name} = \d+", f"{name} = {clients}", text)
            file.write_text(text)
            server.signal(signal.SIGHUP)
            server.until(lambda: backlog_of(held) == larger.backlog)

    @pytest.mark.parametrize("broken", ["max_connections = 12", "no toml at all ["])
    def test_a_reload_with_a_broken_budget_changes_nothing(self, gunicorn, tmp_path, broken):
        file = tmp_path / "budget.toml"
        whole = (PROJECT / "budget.toml").read_text()
        file.write_text(whole)
        server = gunicorn(BUDGET_FILE=str(file)).wait()
        old = server.workers()
        file.write_text(re.sub(r"(?m)^max_connections = \d+", broken, whole))
        server.signal(signal.SIGHUP)
        server.until(lambda: len(server.workers()) == BUDGET.workers and not server.workers() & old)
        assert "the old limits stay in force" in server.output()
        assert server.get("/readyz")[0] == 200
        sizes = pool_sizes(server)
        assert {sizes[pid] for pid in server.workers()} == {settings.PLAN.pool_most}

    def test_its_end_is_told_to_the_database_server(self, gunicorn):
        server = gunicorn().wait()
        pool_sizes(server)
        aborted, connected = status("Aborted_clients"), status("Threads_connected")
        server.stop()
        server.until(lambda: status("Threads_connected") <= connected - BUDGET.workers)
        assert status("Aborted_clients") == aborted
        assert server.exit_code() == 0


class TestWithoutServing:
    def test_its_settings_can_be_printed_and_checked(self, gunicorn):
        printed = gunicorn("--print-config")
        assert printed.exit_code() == 0, printed.output()
        values = dict(re.findall(r"(?m)^(\w+) += (.*)$", printed.output()))
        assert values["workers"] == str(BUDGET.workers)
        assert values["worker_class"] == CLASSES[BUDGET.worker_class]
        assert values["worker_connections"] == str(BUDGET.worker_connections)
        assert values["backlog"] == str(settings.PLAN.backlog)
        assert values["timeout"] == str(BUDGET.request_deadline)
        assert values["graceful_timeout"] == str(settings.PLAN.graceful_timeout)
        assert values["bind"] == f"['127.0.0.1:{printed.port}']"
        assert gunicorn("--check-config").exit_code() == 0

    def test_reading_them_imports_nothing_of_django(self):
        code = (
            "import runpy, sys; runpy.run_path('gunicorn.conf.py'); "
            "sys.exit('django' in sys.modules or 'gevent' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False)
        assert done.returncode == 0

    def test_they_are_read_in_the_folder_of_the_project_only(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit, match="start Gunicorn in"):
            runpy.run_path(str(PROJECT / "gunicorn.conf.py"))

    def test_it_listens_on_this_machine_only_unless_told_otherwise(self, monkeypatch):
        monkeypatch.chdir(PROJECT)
        monkeypatch.delenv("GUNICORN_BIND", raising=False)
        assert runpy.run_path(str(PROJECT / "gunicorn.conf.py"))["bind"] == ["127.0.0.1:8000"]
        monkeypatch.setenv("GUNICORN_BIND", "127.0.0.1:1,unix:/tmp/x")
        conf = runpy.run_path(str(PROJECT / "gunicorn.conf.py"))
        assert conf["bind"] == ["127.0.0.1:1", "unix:/tmp/x"]
