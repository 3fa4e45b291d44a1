"""Pure: the body of a submit, written piece by piece: a photo is never held in base64 as a whole."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

PIECE = 3 * 2**14
"""Bytes of a photo that are written at a time, 64 KiB of base64; a multiple of three, so that the pieces join."""

LARGE = PIECE * 4 // 3
"""Bytes up to which pieces are written as one: each is a system call, and a tenth of a millisecond."""


def write_body(inputs: Mapping[str, Any]) -> Iterator[bytes]:
    """Write a JSON object as ``json.dumps`` does, in few pieces; bytes are written as base64."""
    held = bytearray()
    for piece in _pieces(inputs):
        if held and len(held) + len(piece) > LARGE:
            yield bytes(held)
            held.clear()
        if len(piece) < LARGE:
            held += piece
        else:
            yield piece
    if held:
        yield bytes(held)


def _pieces(inputs: Mapping[str, Any]) -> Iterator[bytes]:
    before = b"{"
    for name, value in inputs.items():
        yield before + _json(name) + b": "
        if isinstance(value, bytes):
            yield b'"'
            yield from base64_pieces(value)
            yield b'"'
        else:
            yield _json(value)
        before = b", "
    yield b"}" if inputs else b"{}"


def length_of_body(inputs: Mapping[str, Any]) -> int:
    """Return how many bytes :func:`write_body` gives of it."""
    values = [
        2 + length_of_base64(value) if isinstance(value, bytes) else len(_json(value)) for value in inputs.values()
    ]
    return sum(values) + sum(len(_json(name)) + 2 for name in inputs) + 2 * max(1, len(inputs))


def base64_pieces(content: bytes) -> Iterator[bytes]:
    """Give the base64 of a photo, some of it at a time."""
    return (b64encode(content[start : start + PIECE]) for start in range(0, len(content), PIECE))


def length_of_base64(content: bytes) -> int:
    """Return how many characters a photo has in base64."""
    return -(-len(content) // 3) * 4


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
