"""Django's settings for the peer named in BENCH_PEER on the server at BENCH_SOCKET."""

import os

from benchmarks.peers import BY_NAME, DATABASE

PEER = BY_NAME[os.environ["BENCH_PEER"]]
DATABASES = {"default": PEER.database(os.environ["BENCH_SOCKET"])}
if PEER.ledger:
    DATABASES["default"]["OPTIONS"]["LEDGER"] = os.environ["BENCH_LEDGER"]
if "BENCH_CA" in os.environ:
    DATABASES["default"]["OPTIONS"]["ssl"] = {"ca": os.environ["BENCH_CA"]}

if PEER.driver == "pymysql" and not PEER.ours:
    import pymysql

    pymysql.version_info = (2, 2, 8, "final", 1)  # what Django asks of mysqlclient
    pymysql.install_as_MySQLdb()

SECRET_KEY = DATABASE
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["benchmarks.site"]
MIDDLEWARE = ["mysql_pool.middleware.PoolTimeoutMiddleware"] if PEER.ours else []
ROOT_URLCONF = "benchmarks.site.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# One line for each failed request; `serving` counts them.
LOGGING = {
    "version": 1,
    "formatters": {"line": {"()": "benchmarks.site.logs.LastLine"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"django.request": {"handlers": ["stderr"], "level": "ERROR", "propagate": False}},
}
