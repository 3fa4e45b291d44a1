"""What the unit tests share: a photo, settings that no environment touches, and repeatable random examples."""

import base64
import io
import os

import hypothesis
import pytest
from PIL import Image

from worker.config import Settings

hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what the developer's own environment says."""
    for name in os.environ:
        if name.startswith(("SAM3D_", "SEGMIND_")):
            monkeypatch.delenv(name)


@pytest.fixture
def settings() -> Settings:
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
