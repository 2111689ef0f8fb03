"""Settings of another process of the host, which the tests start: the database as they have it."""

import json
import os

from tests.settings import *  # noqa: F403

DATABASES = {"default": json.loads(os.environ["HOSTED_DATABASE"])}
POOL_SHARE = DATABASES["default"]["OPTIONS"]  # what the checks compare with
