"""Clean copies of the repository, as the tests of the hooks make them."""

from tests.hooks.conftest import git_repository, repository

__all__ = ["git_repository", "repository"]
