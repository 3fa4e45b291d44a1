"""Pure: JSON that a stranger wrote, read within bounds that are checked on its bytes, before anything is made of it."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

MAX_MESSAGE_BYTES = 16 * 2**20
"""RabbitMQ 4 takes no message that is larger; older ones do, up to 128 MiB."""


@dataclass(frozen=True)
class Bounds:
    """What a text may have: bytes in all, values, and bytes beside long base64.

    A value takes some hundred bytes of memory; of a text with one wide character in it a reader makes four times as
    much. What is far above all that is ever sent is refused before it is read.
    """

    size: int
    values: int
    beside: int


MESSAGE = Bounds(MAX_MESSAGE_BYTES, values=100_000, beside=2**20)
DOCUMENT = Bounds(32 * 2**20, values=500_000, beside=32 * 2**20)
"""An answer, a page of the vendor's history (100 requests, each with its points), the JSON of a model."""

DEEPEST = 100
"""Levels of lists and objects: far above what a request has, far below what breaks a reader."""


class Unreadable(ValueError):
    """There is nothing to be read; the text says why and never what."""


def read_json(body: bytes, bounds: Bounds = MESSAGE) -> Any:
    """Read a JSON text in UTF-8.

    Raises:
        Unreadable: it is too large, holds too many values, is nested too deep, or is no JSON.
    """
    if len(body) > bounds.size:
        raise Unreadable(f"the body is larger than {bounds.size // 2**20} MiB")
    # Each value but the first has one of these before it; in texts they count as well, where there are few.
    opened = body.count(b"{") + body.count(b"[")
    if opened + body.count(b",") > bounds.values or body.count(b'"') > 2 * bounds.values:
        raise Unreadable(f"the body holds more than {bounds.values} values")
    if len(body) > bounds.beside and _beside(body) > bounds.beside:
        raise Unreadable(f"the body holds more than {bounds.beside // 2**10} KiB beside its photos")
    try:
        value = _decoded(body.removeprefix(BOM_UTF8))
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None
    if opened > DEEPEST and not is_nested_at_most(value, DEEPEST):
        raise Unreadable("the body is nested too deep")
    return value


def read_object(body: bytes) -> Mapping[str, Any]:
    """Read a JSON object.

    Raises:
        Unreadable: it is anything else, or out of bounds.
    """
    value = read_json(body)
    if not isinstance(value, dict):
        raise Unreadable("the body is not a JSON object")
    return value


def _beside(body: bytes) -> int:
    """Return how many bytes are not of long base64, quote by quote."""
    beside, start = 0, 0
    while start < len(body):
        found = body.find(b'"', start)
        end = len(body) if found < 0 else found
        beside += 0 if end - start > LONG_PART and _is_base64(body, start, end) else end - start
        start = end + 1
    return beside


def _is_base64(body: bytes, start: int, end: int) -> bool:
    """Tell a photo's long text, with or without the beginning of a data URI, from any other."""
    others = 0
    for at in range(start, end, PIECE):
        piece = body[at : min(at + PIECE + 1, end)]  # An escape at the seam is in both.
        others += len(piece.translate(None, _OF_BASE64))
        if others >= LONG_PART or b"\\u" in piece or not piece.isascii():
            return False
    return True


LONG_PART, PIECE = 2**12, 2**20
_OF_BASE64 = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\"  # A line break or slash may be escaped.
)


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
    level: list[object] = [value]
    for _ in range(levels):
        if not level:
            return True
        level = [inner for each in level for inner in _within(each)]
    return not any(isinstance(each, dict | list) for each in level)


def _within(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()


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
