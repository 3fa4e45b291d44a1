"""Fixtures of the whole suite: an environment without settings, the private services; each folder adds its own."""

from typing import Any

import pytest
from celery import _state

pytest_plugins = ["tests.support.environment", "tests.support.services.fixtures"]


@pytest.fixture(autouse=True)
def _own_tasks() -> None:
    """Have no app get the tasks of another test's, which Celery shares with each app of a process that comes after."""
    shared: set[Any] = _state._on_app_finalizers  # type: ignore[attr-defined]
    shared -= {each for each in shared if each.__name__ in {"reconstruct", "submit", "poll", "fetch"}}
