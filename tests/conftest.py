"""Fixtures of the whole suite: the private services; each folder adds its own."""

pytest_plugins = ["tests.support.services.fixtures"]
