"""Keeps `behaviour/` for the sessions that test_variants.py starts; a scene for the other tests."""

import os

import pytest

from mysql_pool import closing
from packages.mysql_pool.tests.alone import Scene

collect_ignore = [] if "POOL_DRIVER" in os.environ else ["behaviour"]


@pytest.fixture
def scene(monkeypatch):
    """``scene(max_conns=...)``"""
    monkeypatch.setattr(closing, "SETTLE", 0)
    scenes = []

    def make(**options):
        scenes.append(Scene(**options))
        return scenes[-1]

    yield make
    for one in scenes:
        one.end()
