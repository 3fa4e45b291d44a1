"""What tests of GLBs and ZIPs share."""

import io
import json
import struct
from collections.abc import Callable
from typing import Any

from worker.errors import OutputBroken, OutputUnusable

BIN = (b"BIN\0", b"1234")
BUDGET = 0.1
"""Seconds of CPU that any file may take."""
DOCUMENT = {"asset": {"version": "2.0"}}


def glb(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a GLB of these chunks."""
    body = b"".join(struct.pack("<I4s", len(content), kind) + content for kind, content in chunks)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def described(document: object) -> bytes:
    """Return a GLB with this JSON."""
    return glb((b"JSON", json.dumps(document).encode()), BIN)


def verdict(check: Callable[[Any, int], None], content: bytes) -> str:
    """Return why a file is not kept, or nothing; anything but a refusal is a bug."""
    try:
        check(io.BytesIO(content), len(content))
    except (OutputBroken, OutputUnusable) as error:
        return f"{type(error).__name__}: {error}"
    return ""
