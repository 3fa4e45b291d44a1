"""What a person gives, made into a request; an error names the file or the option, as it was given."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.cli.show import tell_of
from worker.errors import InvalidMessage
from worker.intake.prepare import prepare_request

OPTIONS = {
    "bounding_box": "--box",
    "point_coords": "--points",
    "include_artifacts": "--artifacts",
    "idempotency_key": "--key",
    "job_id": "--job-id",
    **{name: f"--{name}" for name in ("mask", "prompt", "seed", "priority", "force", "metadata")},
}
"""How the fields of a request are called on the command line."""


def request_of(image: str | Path, **fields: Any) -> dict[str, Any]:
    """Make and check the message of a request.

    Raises:
        InvalidMessage: names the file or the option, and the fix.
    """
    try:
        return prepare_request(image, tell=tell_of(image), **fields)
    except InvalidMessage as error:
        names = {**OPTIONS, "image": _called(str(image))}
        sentence = re.sub(r"`(\w+)`", lambda field: f"`{names.get(field[1], field[1])}`", str(error))
        raise InvalidMessage(error.field, sentence, error.code) from None


def fields_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of a request from what its options say.

    Raises:
        InvalidMessage: one of them is none.
    """
    read = {"bounding_box": box, "point_coords": points, "metadata": metadata}
    return {name: read[name](value) if name in read else value for name, value in options.items()}


def _called(image: str) -> str:
    """Name an image as it was given, but for what may be secret in an address, or is the image itself."""
    return "image" if image.startswith("data:") else image.partition("?")[0]


def box(text: str | None) -> str | None:
    """Read a box, ``1,2,3,4`` or as JSON has it."""
    return text if text is None or _is_json(text) else f"[{text}]"


def points(text: str | None) -> str | None:
    """Read points, ``1,2;3,4`` or as JSON has them."""
    return text if text is None or _is_json(text) else f"[{','.join(f'[{pair}]' for pair in text.split(';'))}]"


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("[")


def metadata(text: str | None) -> Any:
    """Read a JSON value.

    Raises:
        InvalidMessage: it is none.
    """
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidMessage("metadata", "`--metadata` is not JSON.") from None
