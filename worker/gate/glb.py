"""Pure: whether a GLB is whole: its chunks, their lengths, its JSON, and the model in them."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from pydantic_core import from_json

from worker.errors import OutputBroken
from worker.gate.arrays import Source, read_at
from worker.gate.scene import read_scene
from worker.gate.unfit import Unfit, require
from worker.rules.geometry import Geometry
from worker.rules.untrusted import DOCUMENT, read_json

MOST_CHUNKS = 64
"""Of a GLB, which has two."""

LARGEST_JSON = 16 * 2**20

VERSION = 2


def check_glb(content: BinaryIO, size: int) -> Geometry:
    """Return what is in a GLB (glTF 2.0, "GLB File Format Specification").

    Raises:
        OutputBroken: says what is wrong.
    """
    try:
        chunks = list(_chunks(content, size))
        document = _document(chunks[0], [kind for kind, _ in chunks])
        return read_scene(document, next((source for kind, source in chunks[1:] if kind == b"BIN\0"), None), size)
    except Unfit as error:
        raise OutputBroken(f"The GLB of {size} bytes {error}.") from None


def check_gltf(document: Mapping[str, Any], size: int) -> Geometry:
    """Return what is in a model that is JSON alone; bytes that are in files beside it are believed to be there.

    Raises:
        OutputBroken: says what is wrong.
    """
    try:
        return read_scene(document, None, size, is_alone=True)
    except Unfit as error:
        raise OutputBroken(f"The glTF of {size} bytes {error}.") from None


def _chunks(content: BinaryIO, size: int) -> Iterator[tuple[bytes, Source]]:
    """Give kind and bytes of each chunk behind the header."""
    version = int.from_bytes(read_at(content, 4, 4), "little")
    require(version == VERSION, f"is of version {version}")
    place = 12
    for _ in range(MOST_CHUNKS):
        head = read_at(content, place, 8)
        length, kind = struct.unpack("<I4s", head.ljust(8, b"\0"))
        place += 8 + length
        require(len(head) == 8 and place <= size, "ends within a chunk")
        require(length % 4 == 0, f"has a chunk of {length} bytes, which is no multiple of 4")
        yield kind, Source(content, place - length, length)
        if place == size:
            return
    raise Unfit(f"has more than {MOST_CHUNKS} chunks")


def _document(chunk: tuple[bytes, Source], kinds: Sequence[bytes]) -> Mapping[str, Any]:
    """Return the JSON of a GLB."""
    is_ordered = kinds[0] == b"JSON" and b"JSON" not in kinds[1:] and b"BIN\0" not in kinds[2:]
    require(is_ordered, "has its chunks in another order than JSON, BIN")
    _, source = chunk
    document = read_document(source.read(0, source.length) if source.length <= LARGEST_JSON else b"")
    if document is None:
        raise Unfit("has no JSON with the version of its asset")
    return document


def read_document(text: bytes) -> Mapping[str, Any] | None:
    """Return the JSON of a glTF, as far as its asset tells that it is one."""
    try:
        document = read_json(text, DOCUMENT)
        if b"NaN" in text or b"Infinity" in text:
            from_json(text, allow_inf_nan=False)  # No JSON has such a number, and no browser would read on.
    except ValueError:
        return None
    asset = document.get("asset") if isinstance(document, dict) else None
    return document if isinstance(asset, dict) and isinstance(asset.get("version"), str) else None
