"""What no test may depend on: variables that the developer has set, and random examples that differ from run to run."""

import gc
import os
from collections.abc import Iterator

import hypothesis
import pytest

from worker.config.environment import Settings

hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=30)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Keep the collector of garbage from looking through all tests again and again."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _empty_environment() -> Iterator[None]:
    """Remove what the developer's own environment says."""
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith(("SAM3D_", "SEGMIND_"))]:
            environment.delenv(name)
        yield


@pytest.fixture(scope="session")
def settings(_empty_environment: None) -> Settings:
    """Return the defaults."""
    return Settings()
