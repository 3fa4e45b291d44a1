"""Pure: JSON that a stranger wrote, read within bounds that are checked on its bytes, before anything is made of it."""

import json
from codecs import BOM_UTF8
from typing import Any

from pydantic_core import from_json

MAX_MESSAGE_BYTES = 16 * 2**20
"""RabbitMQ 4 takes no message that is larger; older ones do, up to 128 MiB."""

MOST_VALUES = 200_000
"""Far above what a request or an answer has; each may take some hundred bytes of memory."""

DEEPEST = 100
"""Levels of lists and objects: far above what a request has, far below what breaks a reader."""


class Unreadable(ValueError):
    """There is nothing to be read; the text says why and never what."""


def read_json(body: bytes, most_bytes: int) -> Any:
    """Read a JSON text in UTF-8.

    Raises:
        Unreadable: it is too large, holds too many values, is nested too deep, or is no JSON.
    """
    if len(body) > most_bytes:
        raise Unreadable(f"the body is larger than {most_bytes // 2**20} MiB")
    # Each value but the first has one of these before it; in texts they count as well, where there are few.
    if sum(body.count(mark) for mark in (b"{", b"[", b",")) > MOST_VALUES:
        raise Unreadable(f"the body holds more than {MOST_VALUES} values")
    try:
        value = _decoded(body.removeprefix(BOM_UTF8))
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None
    if not is_nested_at_most(value, DEEPEST):
        raise Unreadable("the body is nested too deep")
    return value


def _decoded(body: bytes) -> Any:
    try:
        return from_json(body, cache_strings=False)
    except ValueError:
        # Half a character can be written in JSON: whoever reads the text that has it refuses it by its name.
        if not (body.isascii() and (b"\\ud" in body or b"\\uD" in body)):
            raise
        return json.loads(body)


def is_nested_at_most(value: object, levels: int) -> bool:
    """Tell whether lists and objects are at most so many levels deep."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(is_nested_at_most(each, levels - 1) for each in inner)


def length_of_texts(value: object) -> int:
    """Return how many characters the texts and names in a value have."""
    match value:
        case str():
            return len(value)
        case dict():
            return sum(len(str(name)) + length_of_texts(each) for name, each in value.items())
        case list():
            return sum(length_of_texts(each) for each in value)
    return 0
