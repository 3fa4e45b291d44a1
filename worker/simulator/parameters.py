"""Check the parameters of a run as the vendor's API page describes them."""

import json
import math
from typing import Any

from .model import Hint

MAX_SEED = 1_000_000
DEFAULT_SEED = 123


class BadParameterError(ValueError):
    """A parameter that the vendor would not take; the message is for the answer."""


def check(body: object) -> dict[str, Any]:
    """Return the parameters if they are good.

    Raises:
        BadParameterError: they are not.
    """
    if not isinstance(body, dict):
        raise BadParameterError("Request body must be a JSON object")
    _check_text(body, "image", required=True)
    _check_text(body, "mask")
    _check_text(body, "prompt")
    _check_seed(body.get("seed"))
    if not isinstance(body.get("include_artifacts", False), bool | None):
        raise BadParameterError("include_artifacts must be a boolean")
    box(body)
    points(body)
    return body


def box(inputs: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """Return the bounding box, if there is one."""
    corners = _numbers(inputs, "bounding_box", "[x1, y1, x2, y2]")
    if corners is None:
        return None
    if not (isinstance(corners, list) and len(corners) == 4 and all(map(_is_number, corners))):
        raise BadParameterError("bounding_box must be a string of the form [x1, y1, x2, y2]")
    left, top, right, bottom = map(float, corners)
    if left >= right or top >= bottom:
        raise BadParameterError("bounding_box must have x1 < x2 and y1 < y2")
    return left, top, right, bottom


def points(inputs: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    """Return the points; none is an empty tuple."""
    pairs = _numbers(inputs, "point_coords", "[[x1,y1],[x2,y2]]")
    if pairs is None:
        return ()
    if not (isinstance(pairs, list) and pairs and all(_is_pair(pair) for pair in pairs)):
        raise BadParameterError("point_coords must be a string of the form [[x1,y1],[x2,y2]]")
    return tuple((float(x), float(y)) for x, y in pairs)


def seed(inputs: dict[str, Any]) -> int:
    """Return the seed, the vendor's default if there is none."""
    given = inputs.get("seed")
    return DEFAULT_SEED if given is None else int(given)


def hint(inputs: dict[str, Any], mask: bytes | None) -> Hint:
    """Return what names the object."""
    return Hint(mask=mask, box=box(inputs), points=points(inputs))


def _check_text(body: dict[str, Any], name: str, *, required: bool = False) -> None:
    """Refuse what is not text, and a required text that is missing."""
    value = body.get(name)
    if value is None and not required:
        return
    if not isinstance(value, str) or (required and not value.strip()):
        raise BadParameterError(f"{name} is required" if required and not value else f"{name} must be a string")


def _check_seed(value: object) -> None:
    """Refuse a seed that is no whole number, or out of range."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
        raise BadParameterError(f"seed must be an integer between 0 and {MAX_SEED}")


def _numbers(inputs: dict[str, Any], name: str, form: str) -> object:
    """Return what a string parameter holds; an absent or empty one is none."""
    text = inputs.get(name)
    if text is None or text == "":
        return None
    try:
        return json.loads(text) if isinstance(text, str) else _refuse(name, form)
    except (ValueError, RecursionError):
        return _refuse(name, form)


def _refuse(name: str, form: str) -> object:
    """Refuse a string parameter."""
    raise BadParameterError(f"{name} must be a string of the form {form}")


def _is_number(value: object) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_pair(value: object) -> bool:
    """Return whether a value is a point."""
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
