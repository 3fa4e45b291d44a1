"""What an image in a message may be: an http(s) URL, a data URI or base64; never a path. Pure but for decoding."""

import binascii
import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from urllib.parse import SplitResult, urlsplit

from worker.intake.pictures import is_heic, recognise
from worker.rules.job import MAX_IMAGE_BYTES

MAX_PIXELS = 178_956_970
"""Pillow, which most that read pictures in Python are built on, refuses more by default."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_URL_LENGTH = 2048

_BLANKS = " \t\r\n\x0b\x0c"
"""What may stand between the characters of base64: lines and their indents."""

_LOOKED_AT = 256
"""Characters that are looked at to tell what a text is: no pattern is tried on megabytes."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
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

    @cached_property
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
    if _SCHEME.match(value[:_LOOKED_AT]):
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
        raise ValueError(TOO_LARGE)
    picture = recognise(content)
    if picture is None:
        raise ValueError(_NO_HEIC if is_heic(content) else NO_IMAGE)
    if picture.pixels > MAX_PIXELS:
        raise ValueError(f"has more than {MAX_PIXELS // 10**6} million pixels; send a smaller one")
    return ImageInput(content=content, media_type=picture.media_type)


TOO_LARGE = "is larger than 10 MiB; send a smaller one, or a URL"
NO_IMAGE = f"is not an image that can be read ({', '.join(FORMATS)})"
_NO_HEIC = "is a HEIC photo; send a JPEG, or use `sam3d submit`, which makes one of it"


def _without_prefix(value: str) -> str:
    prefix = _DATA_URI.match(value[:_LOOKED_AT])
    if not prefix:
        raise ValueError("is a data URI of a kind that is not supported; use `data:image/png;base64,…`")
    return value[prefix.end() :]


def _decoded(text: str) -> bytes:
    if len(text) * 3 // 4 > MAX_IMAGE_BYTES + 1024:
        raise ValueError(TOO_LARGE)
    try:
        # Copies are made only of a text that has lines: it may be of megabytes.
        has_lines = any(blank in text for blank in _BLANKS)
        whole = text.encode("ascii").translate(None, _BLANKS.encode()) if has_lines else text
        return binascii.a2b_base64(whole, strict_mode=True)
    except ValueError:
        raise ValueError("is neither an http(s) URL nor valid base64") from None


def _is_base64(text: str) -> bool:
    text = "".join(text.split())
    return len(text) % 4 == 0 and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text) is not None and len(text) > 64


def _checked_url(value: str) -> str:
    parts = _split(value)
    if parts is None or parts.scheme.lower() not in {"http", "https"}:
        raise ValueError("must be an http(s) URL; other schemes are not read")
    if not parts.hostname or len(value) > MAX_URL_LENGTH or not value.isascii() or _NO_URL.search(value):
        raise ValueError(f"is not a valid URL of at most {MAX_URL_LENGTH} ASCII characters")
    if parts.username is not None:
        raise ValueError("must not hold a user name or password")
    return value


def _split(value: str) -> SplitResult | None:
    """Split a URL, of which no more is looked at than it may have; None where it is none."""
    try:
        parts = urlsplit(value[: MAX_URL_LENGTH + 1])
        _ = parts.hostname, parts.port
    except ValueError:
        return None
    return parts


_NO_URL = re.compile(r"[\s\x00-\x1f\x7f]")
