"""Pure: whether a GLB is whole: its chunks, their lengths, and its JSON."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from worker.errors import OutputBroken
from worker.rules.untrusted import DOCUMENT, read_json

MOST_CHUNKS = 64
"""Of a GLB, which has two."""


LARGEST_JSON = 16 * 2**20


def check_glb(content: BinaryIO, size: int) -> None:
    """Check the chunks of a GLB, and that its JSON is that of a glTF (glTF 2.0, "GLB File Format Specification").

    Raises:
        OutputBroken: says what is wrong.
    """
    chunks = list(_chunks(content, size))
    kinds = [kind for kind, _, _ in chunks]
    if kinds[0] != b"JSON" or b"JSON" in kinds[1:] or b"BIN\0" in kinds[2:]:
        raise OutputBroken(f"The GLB of {size} bytes has its chunks in another order than JSON, BIN.")
    _, place, length = chunks[0]
    if not _is_gltf(read_at(content, place, length) if length <= LARGEST_JSON else b""):
        raise OutputBroken(f"The GLB of {size} bytes has no JSON with the version of its asset.")


def _chunks(content: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Give kind, place and length of each chunk behind the header."""
    place = 12
    for _ in range(MOST_CHUNKS):
        head = read_at(content, place, 8)
        length, kind = struct.unpack("<I4s", head.ljust(8, b"\0"))
        place += 8 + length
        if len(head) < 8 or place > size:
            raise OutputBroken(f"The GLB of {size} bytes ends within a chunk.")
        yield kind, place - length, length
        if place == size:
            return
    raise OutputBroken(f"The GLB of {size} bytes has more than {MOST_CHUNKS} chunks.")


def _is_gltf(text: bytes) -> bool:
    try:
        document = read_json(text, DOCUMENT)
    except ValueError:
        return False
    asset = document.get("asset") if isinstance(document, dict) else None
    return isinstance(asset, dict) and isinstance(asset.get("version"), str)


def read_at(content: BinaryIO, place: int, length: int) -> bytes:
    """Return the bytes at a place."""
    content.seek(place)
    return content.read(length)
