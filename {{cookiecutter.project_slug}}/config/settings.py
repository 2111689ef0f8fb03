"""Everything from the environment, every limit from the budget.

Nothing here is a secret, and no number here is one that budget.toml decides. Development and
production differ by environment variables only; .env.example lists all of them.
"""

import os
import re
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from budget.plan import BudgetError, plan
from budget.source import load

BASE_DIR = Path(__file__).resolve().parent.parent
PROJECT_NAME = "{{ cookiecutter.project_name }}"

# -- environment ------------------------------------------------------------------------------

#: Before .env is read: the budget is Gunicorn's too, and Gunicorn does not read .env.
PROCESS_ENVIRONMENT = dict(os.environ)

environ.Env.read_env(BASE_DIR / ".env")  # what the process has already wins; no file is fine
env = environ.Env()


def switch(name: str, default: bool) -> bool:
    """An on/off variable. A misspelt one is refused: `SECURE_SSL=ture` must not mean off."""
    value = os.environ.get(name, "").strip().lower()
    if value in {"1", "on", "true", "yes"}:
        return True
    if value in {"0", "off", "false", "no"}:
        return False
    if value == "":
        return default
    raise ImproperlyConfigured(f"{name} is {value!r}: it has to be on or off.")


def one_of(name: str, default: str, allowed: str) -> str:
    """A variable that has to match the regular expression `allowed`."""
    value = os.environ.get(name) or default
    if not re.fullmatch(allowed, value, re.IGNORECASE):
        raise ImproperlyConfigured(f"{name} is {value!r}: it has to match {allowed}")
    return value


DEBUG = switch("DEBUG", False)

#: Secure cookies, HSTS and the redirect to HTTPS. Development turns it off; nothing else should.
SECURE_SSL = switch("SECURE_SSL", True)

# Not env("SECRET_KEY"): django-environ takes what starts with $ for another variable's name.
SECRET_KEY = os.environ.get("SECRET_KEY", "")
if not SECRET_KEY and DEBUG:
    SECRET_KEY = "django-insecure-for-debugging-on-one-machine-only"  # noqa: S105
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. Make one and put it into the environment or into .env: "
        "python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    )

# -- the connection budget --------------------------------------------------------------------

misplaced = sorted(
    name
    for name in os.environ.keys() - PROCESS_ENVIRONMENT.keys()
    if name.startswith("BUDGET_") or name == "WEB_CONCURRENCY"
)
if misplaced:
    raise ImproperlyConfigured(
        f"{', '.join(misplaced)} in .env: Gunicorn does not read .env and would plan with other "
        "numbers. Put them into budget.toml or into the environment of the process."
    )

try:
    PLAN = plan(
        load(
            PROCESS_ENVIRONMENT.get("BUDGET_FILE") or BASE_DIR / "budget.toml",
            PROCESS_ENVIRONMENT,
        )
    )
except BudgetError as error:
    raise ImproperlyConfigured(f"The connection budget cannot be kept.\n{error}") from None


def pool_share() -> dict[str, Any]:
    """How many connections this process may open: a fixed share, or what its host has for it."""
    role = os.environ.get("POOL_ROLE", "")  # config/wsgi.py and manage.py set it
    consumer = PLAN.consumers.get(role)
    fixed = consumer.connections if consumer else PLAN.pool_size
    ledger = os.environ.get("POOL_LEDGER", str(BASE_DIR / ".localserver" / "pool" / "connections"))
    # A machine of consumers alone has what is promised to them, which is not an application host's.
    if PLAN.budget.sharing == "process" or not ledger or (consumer and consumer.machines):
        return {"MAX_CONNS": fixed}
    of_ours = PLAN.guaranteed if role == "web" else 1
    guaranteed = consumer.connections if consumer else of_ours
    return {
        "MAX_CONNS": max(PLAN.pool_most, guaranteed),
        "LEDGER": ledger,
        "HOST_CONNS": PLAN.host_connections,
        "GUARANTEED": guaranteed,
        "STATIC_CONNS": fixed,
        "ROLE": role,
    }


POOL_SHARE = pool_share()

# -- database ---------------------------------------------------------------------------------


def database() -> dict[str, Any]:
    """Where the server is (DATABASE_URL, else DB_*), and how it is used (the budget)."""
    if os.environ.get("DATABASE_URL"):
        config = database_from_url(os.environ["DATABASE_URL"])
    else:
        config = {
            "ENGINE": "mysql_pool",
            "NAME": os.environ.get("DB_NAME") or "{{ cookiecutter.project_slug }}",
            "USER": os.environ.get("DB_USER") or "{{ cookiecutter.project_slug }}",
            "PASSWORD": os.environ.get("DB_PASSWORD", ""),
            # A host, or the absolute path of a Unix socket. Not `localhost`: mysqlclient takes
            # that for the socket its library was compiled with, PyMySQL for TCP.
            "HOST": os.environ.get("DB_HOST") or "127.0.0.1",
            "PORT": one_of("DB_PORT", "", "[0-9]*"),
        }
    config["CONN_MAX_AGE"] = PLAN.conn_max_age
    config["OPTIONS"] = {
        "DRIVER": "{{ cookiecutter.db_driver }}",
        **POOL_SHARE,
        # An age of 0 asks for a new connection each time: then none is kept, so none grows idle.
        "REUSE_CONNS": POOL_SHARE["MAX_CONNS"] if PLAN.conn_max_age else 0,
        "POOL_TIMEOUT": PLAN.pool_timeout,
        "MAX_WAITING": PLAN.max_waiting,
        "MAX_IDLE": PLAN.max_idle or 1,
        # The server's default, 50 s, is longer than a request may take: whoever waits for a row
        # would hold its connection for a client that is gone.
        "init_command": f"SET SESSION innodb_lock_wait_timeout = {PLAN.request_deadline // 2}",
        **config.get("OPTIONS", {}),
    }
    # Gunicorn's workers get the request deadline. Unset elsewhere: a migration may take long.
    if os.environ.get("DB_READ_TIMEOUT"):
        seconds = int(one_of("DB_READ_TIMEOUT", "", "[1-9][0-9]*"))
        config["OPTIONS"] |= {"read_timeout": seconds, "write_timeout": seconds}
    if certificate := os.environ.get("DB_SSL_CA"):
        config["OPTIONS"]["ssl"] = {"ca": certificate}
{%- if cookiecutter.db_driver == 'mysqlclient' %}
        # Without it the C library checks the certificate, but not that it is this server's.
        config["OPTIONS"]["ssl_mode"] = "VERIFY_IDENTITY"
{%- endif %}
    return config


def database_from_url(url: str) -> dict[str, Any]:
    """mysql://user:password@host:3306/name, or mysql://user:password@/name?unix_socket=/path."""
    form = "mysql://user:password@host:3306/name (reserved characters as %40 and so on)"
    try:
        config = env.db_url_config(url, engine="mysql_pool")
    except ValueError:
        # `from None`: the error would show the URL, and with it the password.
        raise ImproperlyConfigured(f"DATABASE_URL is no URL of the form {form}.") from None
    if not url.startswith("mysql://") or not config["NAME"]:
        raise ImproperlyConfigured(f"DATABASE_URL has to have the form {form}.")
    if not config["HOST"] and "unix_socket" not in config.get("OPTIONS", {}):
        config["HOST"] = "127.0.0.1"
    return config


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- applications and requests ----------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "config",
    "ops",
    "shop",
]

MIDDLEWARE = [
    "mysql_pool.middleware.PoolTimeoutMiddleware",  # first: a full pool is a 503 wherever it is met
    "ops.probes.ProbeMiddleware",  # before the host check and the redirect to HTTPS
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
# No WSGI_APPLICATION: `runserver` would import config/wsgi.py, which is for Gunicorn's workers.

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "ops.context.project_name",
            ],
        },
    },
]

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Milliseconds; the most that /api/quote/ may be told to wait.
QUOTE_MAX_DELAY = 2000

# -- security ---------------------------------------------------------------------------------

SESSION_COOKIE_SECURE = SECURE_SSL
CSRF_COOKIE_SECURE = SECURE_SSL
SECURE_SSL_REDIRECT = SECURE_SSL
# An hour until HTTPS is known to work everywhere; then a year (31536000). A browser that has seen
# it cannot be told otherwise before the time is over. No SECURE_PROXY_SSL_HEADER: Gunicorn itself
# believes X-Forwarded-Proto, and only from FORWARDED_ALLOW_IPS (default: this machine).
SECURE_HSTS_SECONDS = int(one_of("SECURE_HSTS_SECONDS", "3600", "[0-9]+")) if SECURE_SSL else 0
SILENCED_SYSTEM_CHECKS = [
    # HSTS for all subdomains, and the browsers' preload list: whether other hosts of the domain
    # speak HTTPS is not known here.
    "security.W005",
    "security.W021",
]

# -- static files and time --------------------------------------------------------------------

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

# -- logging ----------------------------------------------------------------------------------

LOG_LEVEL = one_of("LOG_LEVEL", "INFO", "DEBUG|INFO|WARNING|ERROR|CRITICAL")

# Standard error, where systemd's journal and a terminal both see it. The journal has the time.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": ("" if "JOURNAL_STREAM" in os.environ else "{asctime} ")
            + "{levelname} {name} [{process}] {message}",
            "style": "{",
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL.upper()},
    # Django's own default adds a handler for DEBUG and one that mails ADMINS.
    "loggers": {"django": {"handlers": [], "propagate": True}},
}
