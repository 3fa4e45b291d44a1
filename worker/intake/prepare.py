"""A request from files and fields: what a producer on this side checks before anything is sent."""

import base64
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from worker.errors import InvalidMessage
from worker.intake.images import image_of
from worker.intake.pictures import is_heic
from worker.intake.request import parse_request
from worker.rules.job import MAX_IMAGE_BYTES

LARGEST_PHOTO = 256 * 2**20
"""Bytes of a file that is read, to be scaled down."""

PINS = ("mask", "bounding_box", "point_coords")
"""Fields that are of the size of the photo."""


def prepare_request(
    image: str | Path | bytes, *, tell: Callable[[str], None] = warnings.warn, **fields: Any
) -> dict[str, Any]:
    """Make and check the message of a request; fields that are None are left out.

    A photo that is above the limit is scaled down, and a HEIC becomes a JPEG: ``tell`` is told so.

    Raises:
        InvalidMessage: names the field and the fix.
    """
    request = {name: value for name, value in fields.items() if value is not None}
    request["image"] = _read_image("image", image, lambda photo: _fitted(photo, request, tell))
    if "mask" in request:
        request["mask"] = _read_image("mask", request["mask"], lambda mask: mask)
    request["job_id"] = str(request.get("job_id", uuid4()))
    return {**request, "job_id": str(parse_request(request).job_id)}


def _fitted(photo: bytes, request: Mapping[str, Any], tell: Callable[[str], None]) -> bytes:
    """Return a photo as it may be sent."""
    if len(photo) <= MAX_IMAGE_BYTES and not is_heic(photo):
        return photo
    if len(photo) > LARGEST_PHOTO:
        raise ValueError(f"is larger than {LARGEST_PHOTO // 2**20} MiB; send a smaller one, or a URL")
    from worker.intake.fitting import fit  # What unpacks pictures takes its time to be imported.

    fitted, word = fit(photo, is_pinned=any(name in request for name in PINS))
    tell(f"`image` {word}.")
    return fitted


def _read_image(name: str, source: str | Path | bytes, fitted: Callable[[bytes], bytes]) -> str:
    """Turn a file, its bytes or a URL into what a message carries."""
    if isinstance(source, str) and _URL.match(source):
        return source
    try:
        content = fitted(source if isinstance(source, bytes) else _read_file(Path(source)))
        image_of(content)
    except OSError as error:
        raise InvalidMessage(name, f"`{name}` can't be read: {error.strerror or type(error).__name__}.") from None
    except TypeError:
        raise InvalidMessage(name, f"`{name}` must be a path, bytes, or a URL.") from None
    except ValueError as error:
        raise InvalidMessage(name, f"`{name}` {error}.") from None
    return base64.b64encode(content).decode()


_URL = re.compile(r"[a-z][a-z0-9+.-]{1,63}:", re.IGNORECASE)


def _read_file(path: Path) -> bytes:
    """Read a file, but not one without an end."""
    with path.open("rb") as file:
        return file.read(LARGEST_PHOTO + 1)
