"""What the unit tests share: a photo, settings that no environment touches, and repeatable random examples."""

import base64
import io
import os
from collections.abc import Iterator

import hypothesis
import pytest
from PIL import Image

from worker.config.environment import Settings

hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=30)
hypothesis.settings.load_profile("repeatable")


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


@pytest.fixture(scope="session")
def png() -> bytes:
    """Return a small photo of a dot."""
    image = Image.new("RGB", (16, 12), "white")
    image.paste((200, 30, 30), (5, 3, 11, 9))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="session")
def photo(png: bytes) -> str:
    """Return the photo as a message carries it."""
    return base64.b64encode(png).decode()
