"""What an image in a message may be: an http(s) URL, a data URI or base64; never a path. Pure but for decoding."""

import base64
import binascii
import io
import re
import threading
import warnings
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urlsplit

from PIL import Image, UnidentifiedImageError

MAX_IMAGE_BYTES = 10 * 2**20
"""Image and mask together: RabbitMQ 4 refuses messages over 16 MiB, and base64 adds a third."""

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp",
           "TIFF": "image/tiff"}  # fmt: skip
_MEDIA_TYPES = {**FORMATS, "MPO": "image/jpeg"}  # A phone's JPEG that holds more than one picture.
MAX_URL_LENGTH = 2048

_one_at_a_time = threading.Lock()
"""Which warnings are heard is a setting of the whole process."""

_DATA_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+(;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII)
_LOOKS_LIKE_PATH = re.compile(r"(\.{0,2}/|~|[A-Za-z]:[\\/])|.*\.(png|jpe?g|webp|gif|bmp|tiff?)$", re.IGNORECASE)


@dataclass(frozen=True)
class ImageInput:
    """An image that was checked: at a URL that the vendor reads, or its bytes."""

    url: str | None = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    media_type: str | None = None

    @property
    def size(self) -> int:
        """Size of the content in bytes; 0 for a URL."""
        return len(self.content or b"")

    @property
    def sha256(self) -> str:
        """What identifies the image in a fingerprint."""
        return sha256(self.content if self.content is not None else (self.url or "").encode()).hexdigest()


def parse_image(value: object) -> ImageInput:
    """Check an image of a message.

    Raises:
        ValueError: a sentence that follows the field's name, without the value.
    """
    if not isinstance(value, str) or not value:
        raise ValueError("must be an http(s) URL, a data URI or base64 text")
    if value.startswith("data:"):
        return image_of(_decoded(_without_prefix(value)))
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", value):
        return ImageInput(url=_checked_url(value))
    if len(value) <= MAX_URL_LENGTH and _LOOKS_LIKE_PATH.match(value) and not _is_base64(value):
        raise ValueError("looks like a file path; send the file's content as base64, or use `sam3d submit`")
    return image_of(_decoded(value))


def image_of(content: bytes) -> ImageInput:
    """Check that bytes are an image of a known format and size, by their header alone.

    Raises:
        ValueError: a sentence that follows the field's name.
    """
    if len(content) > MAX_IMAGE_BYTES:
        raise ValueError("is larger than 10 MiB; send a smaller one, or a URL")
    try:
        # The pixels are never decoded here, so what Pillow thinks of their number and of their tags is no news.
        with _one_at_a_time, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=list(FORMATS)) as image:
                return ImageInput(content=content, media_type=_MEDIA_TYPES[image.format or ""])
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError, KeyError):
        raise ValueError(f"is not an image that can be read ({', '.join(FORMATS)})") from None


def _without_prefix(value: str) -> str:
    prefix = _DATA_URI.match(value[:256])
    if not prefix:
        raise ValueError("is a data URI of a kind that is not supported; use `data:image/png;base64,…`")
    return value[prefix.end() :]


def _decoded(text: str) -> bytes:
    if len(text) * 3 // 4 > MAX_IMAGE_BYTES + 1024:
        raise ValueError("is larger than 10 MiB; send a smaller one, or a URL")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is neither an http(s) URL nor valid base64") from None


def _is_base64(text: str) -> bool:
    text = "".join(text.split())
    return len(text) % 4 == 0 and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text) is not None and len(text) > 64


def _checked_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme.lower() not in {"http", "https"}:
        raise ValueError("must be an http(s) URL; other schemes are not read")
    if not host or len(value) > MAX_URL_LENGTH or not value.isascii() or re.search(r"[\s\x00-\x1f\x7f]", value):
        raise ValueError(f"is not a valid URL of at most {MAX_URL_LENGTH} ASCII characters")
    if parts.username is not None:
        raise ValueError("must not hold a user name or password")
    return value
