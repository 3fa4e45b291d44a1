"""What the unit tests share: a photo."""

import base64
import io

import pytest
from PIL import Image


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
