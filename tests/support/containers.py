"""What tests of GLBs and ZIPs share."""

import io
import json
import struct
from collections.abc import Callable
from typing import Any

from worker.errors import OutputBroken, OutputUnusable

BIN = (b"BIN\0", struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0))
"""The corners of a triangle."""
BUDGET = 0.1
"""Seconds of CPU that any file may take."""
DOCUMENT: dict[str, Any] = {
    "asset": {"version": "2.0"},
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
    "bufferViews": [{"buffer": 0, "byteLength": 36}],
    "buffers": [{"byteLength": 36}],
}
"""The JSON of a model that is this triangle and no more."""


def glb(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a GLB of these chunks."""
    body = b"".join(struct.pack("<I4s", len(content), kind) + content for kind, content in chunks)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def described(document: object) -> bytes:
    """Return a GLB with this JSON."""
    return glb((b"JSON", filled(document)), BIN)


def filled(document: object) -> bytes:
    """Write JSON as a chunk has it, with blanks up to a multiple of four bytes."""
    text = json.dumps(document).encode()
    return text + b" " * (-len(text) % 4)


def verdict(check: Callable[[Any, int], object], content: bytes) -> str:
    """Return why a file is not kept, or nothing; anything but a refusal is a bug."""
    try:
        check(io.BytesIO(content), len(content))
    except (OutputBroken, OutputUnusable) as error:
        return f"{type(error).__name__}: {error}"
    return ""
