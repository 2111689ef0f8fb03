"""The project's settings for its tests: as in production, but HTTP, and nobody's data."""

import os
import tempfile

#: True below `python -m localserver run --tests` (`make test`), which is all that sets this name.
SERVER_IS_THERE = "DB_MIGRATE_USER" in os.environ

# What is set here, even to nothing, wins over the developer's .env.
os.environ["SECRET_KEY"] = "it-signs-nothing-that-lasts-longer-than-a-test-0123456789"
os.environ["DEBUG"] = "off"
os.environ["SECURE_SSL"] = "off"
os.environ["DATABASE_URL"] = ""
os.environ["ALLOWED_HOSTS"] = "testserver,localhost,127.0.0.1"
os.environ.setdefault("LOG_LEVEL", "ERROR")
if not SERVER_IS_THERE:
    os.environ |= dict.fromkeys(("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"), "")

# The site on Gunicorn and the tests share a server, and not with `make run`.
LEDGER = tempfile.TemporaryDirectory()
os.environ["POOL_LEDGER"] = f"{LEDGER.name}/connections"

from config.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick, not safe
