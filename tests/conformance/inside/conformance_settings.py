"""The settings that Django's ``runtests.py --settings=`` imports; filled from the environment.

As Django's own ``test_sqlite.py``, with another backend.
"""

import json
import os

import django

variant = json.loads(os.environ["CONFORMANCE_VARIANT"])

if variant["backend"] == "stock":
    engine, options = "django.db.backends.mysql", {}
    if variant["driver"] == "pymysql":
        import pymysql

        pymysql.install_as_MySQLdb()
        pymysql.version_info = (2, 2, 8, "final", 1)  # what Django takes it for
else:
    engine = "mysql_pool"
    options = {"DRIVER": variant["driver"], "RELEASE": variant["release"], "MAX_CONNS": 20}

DATABASES = {
    alias: {
        "ENGINE": engine,
        "NAME": f"{variant['database']}_{alias}",
        "HOST": variant["socket"],
        "USER": variant["user"],
        "PASSWORD": variant["password"],
        "OPTIONS": options,
        "TEST": {"CHARSET": "utf8mb4"},
    }
    for alias in ("default", "other")
}

SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if django.VERSION < (6,):  # later tests expect the default
    DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "conformance_runner.Runner"
