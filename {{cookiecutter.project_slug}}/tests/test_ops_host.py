"""All processes of a host in /metrics, on the budget page, in `manage.py pool`: with a ledger."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from prometheus_client.parser import text_string_to_metric_families

import mysql_pool
from mysql_pool import Record
from ops.host import processes
from ops.metrics import HOST_COUNTERS, HOST_GAUGES
from ops.picture import picture
from ops.server import ask_server

PROJECT = Path(__file__).parents[1]
HOST_CONNS = 12

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def environment(pool_options, tmp_path):
    """Of another process of this host. This one is on the ledger too, as a worker."""
    pool_options.update(
        MAX_CONNS=HOST_CONNS,
        HOST_CONNS=HOST_CONNS,
        LEDGER=str(tmp_path / "run" / "connections"),
        GUARANTEED=2,
        STATIC_CONNS=2,
        ROLE="web",
    )
    connection.close()
    mysql_pool.close_pool()  # what is open was opened without a slot of the ledger
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    database = {key: value for key, value in connection.settings_dict.items() if key != "TEST"}
    database["OPTIONS"] = {**pool_options, "ROLE": "celery"}
    yield {
        **os.environ,
        "HOSTED_DATABASE": json.dumps(database),
        "DJANGO_SETTINGS_MODULE": "tests.hosted",
    }
    connection.close()
    mysql_pool.close_pool()


class Neighbour:
    """A process of tests/neighbour.py."""

    def __init__(self, environment, connections):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.neighbour", str(connections)],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "holds\n"

    def let_go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "has let go\n"

    def end(self):
        """As a worker ends that has given its connections back."""
        self.let_go()
        self.process.stdin.close()
        assert self.process.wait(20) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def neighbour(environment):
    """`neighbour(3)` is another process, which holds three connections."""
    started = []

    def start(connections):
        one = Neighbour(environment, connections)
        started.append(one)
        wait_until_told(one.pid, connections)
        return one

    yield start
    for one in started:
        one.kill()
        one.process.stdout.close()
        one.process.stdin.close()


def wait_until_told(pid, in_use):
    """Until the ledger says so: a process writes its record four times a second."""
    pause = threading.Event()
    for _ in range(1000):
        if {one.pid: one.in_use for one in processes().living}.get(pid) == in_use:
            return
        pause.wait(0.01)
    pytest.fail(f"no {in_use} in use by {pid}: {processes()}")


def scrape(client):
    text = client.get("/metrics").content.decode()
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def sums(samples):
    """`sum by (alias)` of each counter of all processes."""
    found = defaultdict(float)
    for sample in samples:
        if sample.name.endswith("_total") and "role" in sample.labels:
            found[sample.name] += sample.value
    return found


class TestMetrics:
    def test_are_of_every_process(self, client, neighbour):
        other = neighbour(3)
        samples = scrape(client)
        size = {s.labels["pid"]: s for s in samples if s.name == "mysql_pool_size"}
        assert size.keys() == {str(os.getpid()), str(other.pid)}
        assert size[str(other.pid)].labels["role"] == "celery"
        assert size[str(os.getpid())].labels["role"] == "web"
        connections = {
            s.labels["state"]: s.value
            for s in samples
            if s.name == "mysql_pool_connections" and s.labels["pid"] == str(other.pid)
        }
        assert connections == {"in_use": 3, "idle": 0, "changing": 0}
        host = next(s for s in samples if s.name == "mysql_pool_host_size")
        assert (host.labels["alias"], host.value) == ("default", HOST_CONNS)

    @pytest.mark.parametrize("end", [Neighbour.end, Neighbour.kill])
    def test_do_not_go_back_when_a_process_ends(self, client, neighbour, end):
        other = neighbour(3)
        before = sums(scrape(client))
        assert before["mysql_pool_checkouts_total"] >= 4
        end(other)
        samples = scrape(client)
        after = sums(samples)
        assert before.keys() == after.keys()
        assert [name for name in before if after[name] < before[name]] == []
        assert str(other.pid) not in {s.labels.get("pid") for s in samples}
        ended = {s.name: s.value for s in samples if s.labels.get("pid") == "ended"}
        assert ended["mysql_pool_created_total"] == 3

    def test_stay_when_the_place_of_the_ended_is_taken(self, client, neighbour):
        other = neighbour(3)
        before = sums(scrape(client))
        other.kill()
        neighbour(1)
        after = sums(scrape(client))
        assert after["mysql_pool_created_total"] == before["mysql_pool_created_total"] + 1

    def test_are_plain_text_whatever_is_asked_for(self, client, environment):
        response = client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        assert response["Content-Type"].startswith("text/plain")

    def test_are_every_number_of_a_record(self):
        told = {key for _, key, _ in (*HOST_GAUGES, *HOST_COUNTERS)} | {"open", "in_use", "idle"}
        labels = {"pid", "role", "alias"}
        when = {"started_at", "written_at"}
        assert {field.name for field in fields(Record)} == told | labels | when

    def test_by_reason_are_of_the_process_that_answers(self, client, neighbour):
        neighbour(1)  # which has pinned one, for its transaction
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        pinned = [s for s in scrape(client) if s.name == "mysql_pool_pinned_total"]
        assert {s.labels["pid"] for s in pinned} == {str(os.getpid())}

    def test_are_of_this_process_where_the_ledger_cannot_be_read(
        self, client, environment, pool_options, caplog
    ):
        caplog.set_level("WARNING", "ops.metrics")
        Path(pool_options["LEDGER"]).write_bytes(b"nonsense" * 100)
        size = [s.labels for s in scrape(client) if s.name == "mysql_pool_size"]
        assert {"alias": "default", "pid": str(os.getpid())} in size
        assert "ledger of this host cannot be read" in caplog.text


class TestTheBudgetPage:
    def test_shows_every_process_and_refreshes(self, admin_client, neighbour):
        other = neighbour(3)
        response = admin_client.get("/ops/budget/")
        assert f">{other.pid}</th>" in response.content.decode()
        assert f">{os.getpid()}</th>" in response.content.decode()
        assert response["Refresh"] == "5"
        assert "Refresh" not in admin_client.get("/ops/budget/?refresh=off")

    def test_divides_all_connections_of_the_server(self, neighbour, settings):
        neighbour(3)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        live = ask_server()
        parts = picture(settings.PLAN, live, processes())
        connections = {part.kind: part.connections for part in parts}
        assert sum(connections.values()) == live.max_connections
        assert connections["in-use"] >= 3
        assert connections["reserve"] == settings.PLAN.reserve
        ends = [part.begins + part.connections for part in parts]
        assert [part.begins for part in parts] == [0, *ends[:-1]]

    def test_tells_the_picture_in_words(self, admin_client, neighbour, settings):
        neighbour(3)
        text = admin_client.get("/ops/budget/").content.decode()
        label = re.search(r'role="img" aria-label="([^"]+)"', text)[1]
        assert re.match(r"[34] in use on this host, ", label)
        assert f"{settings.PLAN.reserve} reserved" in label

    def test_says_why_the_host_is_not_seen(self, admin_client, environment, pool_options):
        Path(pool_options["LEDGER"]).write_bytes(b"nonsense" * 100)
        response = admin_client.get("/ops/budget/")
        assert "cannot be read: it was written by another version" in response.content.decode()
        assert "Refresh" not in response

    @pytest.fixture
    def admin_client(self, client, environment):
        client.force_login(User.objects.create_superuser("admin"))
        return client


class TestThePoolCommand:
    def test_has_a_line_for_each_process(self, capsys, neighbour):
        other = neighbour(3)
        call_command("pool")
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        (line,) = (line for line in lines if line[:2] == ["celery", str(other.pid)])
        assert line[2:4] == ["default", "2"]
        assert line[5:8] == ["3", "3", "0"]
        (total,) = (line for line in lines if line[:1] == ["all"])
        assert int(total[3]) >= 3
        (bound,) = (line for line in lines if "(HOST_CONNS," in line)
        assert bound[1:3] == ["of", str(HOST_CONNS)]

    def test_tells_programs_of_every_process(self, capsys, neighbour):
        other = neighbour(3)
        call_command("pool", "--json")
        host = json.loads(capsys.readouterr().out)["host"]
        assert {one["pid"]: one["in_use"] for one in host["living"]}[other.pid] == 3
        assert host["most"] == {"default": HOST_CONNS}

    def test_watches_until_ctrl_c(self, environment):
        with self.watching(environment, stdout=subprocess.PIPE, text=True) as process:
            seen = 0
            while seen < 2:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                seen += line == "Pools of this host\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stderr.read() == ""

    def test_watches_in_place_on_a_terminal(self, environment):
        ours, its = pty.openpty()
        try:
            with self.watching(environment, stdout=its) as process:
                os.close(its)  # else nobody would notice here that the process has ended
                text = b""
                while text.count(b"\x1b[H") < 3:  # once to clear, and twice
                    text += os.read(ours, 10_000)
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 0
        finally:
            os.close(ours)
        assert b"Pools of this host\x1b[K" in text

    def test_watches_for_programs_a_line_at_a_time(self, environment):
        with self.watching(environment, "--json", stdout=subprocess.PIPE, text=True) as process:
            answers = [json.loads(process.stdout.readline()) for _ in range(2)]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        assert [len(answer["host"]["living"]) for answer in answers] == [2, 2]

    @contextmanager
    def watching(self, environment, *arguments, **streams):
        command = [sys.executable, "manage.py", "pool", "--watch", *arguments]
        with subprocess.Popen(
            command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, **streams
        ) as process:
            try:
                yield process
            finally:
                process.kill()  # it has ended, unless the test has failed
