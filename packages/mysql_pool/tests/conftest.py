"""Keeps the folder `behaviour/` for the sessions that test_variants.py starts."""

import os

collect_ignore = [] if "POOL_DRIVER" in os.environ else ["behaviour"]
