"""Fixtures of the whole suite: an environment without settings, the private services; each folder adds its own."""

pytest_plugins = ["tests.support.environment", "tests.support.services.fixtures"]
