"""A request from files and fields: what a producer on this side checks before anything is sent."""

import base64
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

from worker.errors import InvalidMessage
from worker.images import MAX_IMAGE_BYTES, image_of
from worker.messages import parse_request


def prepare_request(image: str | Path | bytes, **fields: Any) -> dict[str, Any]:
    """Make and check the message of a request; fields that are None are left out.

    Raises:
        InvalidMessage: names the field and the fix.
    """
    request = {name: value for name, value in fields.items() if value is not None}
    request["image"] = _read_image("image", image)
    if "mask" in request:
        request["mask"] = _read_image("mask", request["mask"])
    request["job_id"] = str(request.get("job_id", uuid4()))
    return {**request, "job_id": str(parse_request(request).job_id)}


def _read_image(name: str, source: str | Path | bytes) -> str:
    """Turn a file, its bytes or a URL into what a message carries."""
    if isinstance(source, str) and re.match(r"[a-z][a-z0-9+.-]+:", source, re.IGNORECASE):
        return source
    try:
        content = source if isinstance(source, bytes) else _read_file(Path(source))
        image_of(content)
    except OSError as error:
        raise InvalidMessage(name, f"`{name}` can't be read: {error.strerror or type(error).__name__}.") from None
    except TypeError:
        raise InvalidMessage(name, f"`{name}` must be a path, bytes, or a URL.") from None
    except ValueError as error:
        raise InvalidMessage(name, f"`{name}` {error}.") from None
    return base64.b64encode(content).decode()


def _read_file(path: Path) -> bytes:
    """Read a file, but not one without an end."""
    with path.open("rb") as file:
        return file.read(MAX_IMAGE_BYTES + 1)
