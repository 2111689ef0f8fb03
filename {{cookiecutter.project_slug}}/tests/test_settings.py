"""Settings from the environment, each time in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

PROJECT = Path(__file__).parents[1]
SECRET = "pässwörd with $igns, 'quotes' and spaces"
REALISTIC = {
    "SECRET_KEY": "a key that is long enough and has many different characters 0123456789 ABCDEF",
    "ALLOWED_HOSTS": "shop.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://shop.example.com",
    "DB_HOST": "/run/mysqld/mysqld.sock",
    "DB_PASSWORD": SECRET,
}
SHOW = """
import json, sys
from django.conf import settings
print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))
"""


def python(*arguments, **environment):
    """Run Python in the project with nothing in its environment but what is given."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "config.settings",
            # Set to nothing, these win over the developer's .env.
            **dict.fromkeys(("SECRET_KEY", "DEBUG", "SECURE_SSL", "DATABASE_URL"), ""),
            **dict.fromkeys(("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "LOG_LEVEL"), ""),
            **dict.fromkeys(("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"), ""),
            **dict.fromkeys(("DB_SSL_CA", "DB_READ_TIMEOUT", "POOL_ROLE"), ""),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def setting(*names, **environment):
    done = python("-c", SHOW, *names, **{**REALISTIC, **environment})
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    return values[names[0]] if len(names) == 1 else values


def refusal(**environment):
    """What is said when these settings are refused."""
    done = python("-c", SHOW, "DEBUG", **{**REALISTIC, **environment})
    assert done.returncode == 1
    return done.stderr


def test_a_realistic_environment_passes_the_deployment_check_without_a_warning(
    db, database_account
):
    name = connection.settings_dict["NAME"]  # Django 6 asks the server even without --database
    environment = {**REALISTIC, **database_account, "DB_NAME": name}
    done = python("manage.py", "check", "--deploy", "--fail-level", "DEBUG", **environment)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_nothing_set_is_refused_with_the_way_to_a_secret_key():
    assert "SECRET_KEY is not set" in refusal(SECRET_KEY="")
    assert "secrets.token_urlsafe" in refusal(SECRET_KEY="")


def test_what_is_not_set_is_safe():
    values = setting(
        "DEBUG",
        "SECURE_SSL_REDIRECT",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SECURE_HSTS_SECONDS",
        "ALLOWED_HOSTS",
        ALLOWED_HOSTS="",
    )
    assert values == {
        "DEBUG": False,
        "SECURE_SSL_REDIRECT": True,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_HSTS_SECONDS": 3600,
        "ALLOWED_HOSTS": [],
    }


def test_development_turns_https_off_as_a_whole():
    values = setting(
        "SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "SECURE_HSTS_SECONDS", SECURE_SSL="off"
    )
    assert not any(values.values())


@pytest.mark.parametrize("name", ["DEBUG", "SECURE_SSL"])
def test_a_misspelt_switch_is_refused_rather_than_taken_for_off(name):
    assert f"{name} is 'ture': it has to be on or off." in refusal(**{name: "ture"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOG_LEVEL", "LOUD"), ("SECURE_HSTS_SECONDS", "1 year"), ("DB_PORT", "mysql")],
)
def test_any_other_misspelt_value_is_refused_by_name(name, value):
    assert f"{name} is {value!r}" in refusal(**{name: value}).splitlines()[-1]


@pytest.mark.parametrize("key", ["$HOME", "a$b'c\"d e#f", "\\$x"])
def test_a_secret_key_is_taken_as_it_is(key):
    assert setting("SECRET_KEY", SECRET_KEY=key) == key


class TestTheDatabase:
    def test_is_found_at_a_socket_or_a_host(self):
        database = setting("DATABASES")["default"]
        assert (database["HOST"], database["PASSWORD"]) == ("/run/mysqld/mysqld.sock", SECRET)
        database = setting("DATABASES", DB_HOST="db.example.com", DB_PORT="3307")["default"]
        assert (database["HOST"], database["PORT"]) == ("db.example.com", "3307")

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            (
                "mysql://u:p%40%2F%3A@db.example.com:3307/shop",
                {"USER": "u", "PASSWORD": "p@/:", "HOST": "db.example.com", "PORT": 3307},
            ),
            ("mysql://u:p@/shop", {"HOST": "127.0.0.1", "NAME": "shop"}),
            ("mysql://u:p@[::1]/shop", {"HOST": "::1", "NAME": "shop"}),
        ],
    )
    def test_is_found_by_its_url(self, url, expected):
        database = setting("DATABASES", DATABASE_URL=url)["default"]
        assert database["ENGINE"] == "mysql_pool"
        assert {key: database[key] for key in expected} == expected

    def test_is_found_by_a_url_with_a_socket(self):
        url = "mysql://u:p@/shop?unix_socket=/run/mysqld/mysqld.sock"
        database = setting("DATABASES", DATABASE_URL=url)["default"]
        assert (database["HOST"], database["NAME"]) == ("", "shop")
        assert database["OPTIONS"]["unix_socket"] == "/run/mysqld/mysqld.sock"
        assert database["OPTIONS"]["MAX_CONNS"] > 0

    @pytest.mark.parametrize(
        "url",
        [
            "postgres://u:hidden@db/shop",
            "mysql://u:hidden@db",
            "mysql://u:hidden@db:port/shop",
            "u:hidden@db/shop",
            "mysql://u:hidden@[::1/shop",
        ],
    )
    def test_is_not_looked_for_under_a_url_that_is_none(self, url):
        text = refusal(DATABASE_URL=url)
        assert "mysql://user:password@host:3306/name" in text.splitlines()[-1]
        assert "hidden" not in text

    def test_is_waited_for_without_limit_unless_one_is_set(self):
        options = setting("DATABASES")["default"]["OPTIONS"]
        assert not {"read_timeout", "write_timeout"} & set(options)
        options = setting("DATABASES", DB_READ_TIMEOUT="7")["default"]["OPTIONS"]
        assert (options["read_timeout"], options["write_timeout"]) == (7, 7)
        assert "DB_READ_TIMEOUT is 'soon'" in refusal(DB_READ_TIMEOUT="soon")

    def test_is_talked_to_in_tls_when_its_authority_is_named(self):
        options = setting("DATABASES", DB_SSL_CA="/etc/ssl/db.pem")["default"]["OPTIONS"]
        assert options["ssl"] == {"ca": "/etc/ssl/db.pem"}
        # PyMySQL checks the host name by itself; the C library has to be told.
        assert options.get("ssl_mode") == {"mysqlclient": "VERIFY_IDENTITY"}.get(options["DRIVER"])


class TestTheBudget:
    def test_gives_the_pool_its_size(self):
        one = setting("DATABASES", BUDGET_WORKERS="1")["default"]["OPTIONS"]["MAX_CONNS"]
        many = setting("DATABASES", BUDGET_WORKERS="20")["default"]["OPTIONS"]["MAX_CONNS"]
        assert one >= many >= 1

    CONSUMERS = '{"celery": {"connections": 2}, "mail": {"machines": 1, "connections": 3}}'

    def share(self, **environment):
        return setting("POOL_SHARE", **{"BUDGET_CONSUMERS": self.CONSUMERS, **environment})

    def test_of_processes_gives_each_a_fixed_share(self):
        web = self.share(BUDGET_SHARING="process", POOL_ROLE="web")
        assert web.keys() == {"MAX_CONNS"}
        celery = self.share(BUDGET_SHARING="process", POOL_ROLE="celery")
        assert celery == {"MAX_CONNS": 2}

    def test_of_a_host_has_its_processes_count_together(self, tmp_path):
        ledger = str(tmp_path / "connections")
        web, celery, command = (
            self.share(BUDGET_SHARING="host", POOL_LEDGER=ledger, POOL_ROLE=role)
            for role in ("web", "celery", "command")
        )
        for share in (web, celery, command):
            assert share["LEDGER"] == ledger
            assert share["HOST_CONNS"] == web["HOST_CONNS"] >= share["MAX_CONNS"]
        assert (celery["ROLE"], celery["GUARANTEED"], celery["STATIC_CONNS"]) == ("celery", 2, 2)
        assert command["GUARANTEED"] == 1 <= web["GUARANTEED"] <= web["STATIC_CONNS"]

    def test_of_a_host_has_one_file_for_what_is_started_in_this_folder(self):
        environment = {"BUDGET_SHARING": "host", "POOL_ROLE": "web"}
        expected = str(PROJECT / ".localserver" / "pool" / "connections")
        done = python("-c", SHOW, "POOL_SHARE", **REALISTIC, **environment)
        assert json.loads(done.stdout)["POOL_SHARE"]["LEDGER"] == expected

    def test_of_a_host_leaves_out_who_has_no_ledger_or_another_machine(self):
        off = self.share(BUDGET_SHARING="host", POOL_LEDGER="", POOL_ROLE="web")
        assert off.keys() == {"MAX_CONNS"}
        mail = self.share(BUDGET_SHARING="host", POOL_LEDGER="/run/x/y", POOL_ROLE="mail")
        assert mail == {"MAX_CONNS": 3}

    def test_of_connections_without_an_age_keeps_none(self):
        options = setting("DATABASES", BUDGET_CONN_MAX_AGE="0")["default"]["OPTIONS"]
        assert options["REUSE_CONNS"] == 0
        done = python(
            "-c",
            "import django; django.setup(); import config.checks as checks;"
            "checks.refuse_to_serve_on_errors()",
            **{**REALISTIC, "BUDGET_CONN_MAX_AGE": "0"},
        )
        assert done.returncode == 0, done.stderr

    def test_that_does_not_fit_is_refused_with_the_change_that_would_do(self):
        text = refusal(BUDGET_WORKERS="999")
        assert "The connection budget cannot be kept." in text
        assert "max_connections" in text

    def test_is_not_taken_from_a_file_gunicorn_does_not_read(self, tmp_path):
        # A copy of the settings alone, so that the project's own .env stays as it is.
        (tmp_path / "config").mkdir()
        (tmp_path / "config/__init__.py").touch()
        (tmp_path / "config/settings.py").write_text((PROJECT / "config/settings.py").read_text())
        (tmp_path / ".env").write_text("BUDGET_WORKERS=3\nWEB_CONCURRENCY=3\n")
        done = python(
            "-c",
            "import config.settings",
            **REALISTIC,
            PYTHONPATH=f"{tmp_path}:{PROJECT}",
            PYTHONSAFEPATH="1",
        )
        assert "BUDGET_WORKERS, WEB_CONCURRENCY in .env" in done.stderr
