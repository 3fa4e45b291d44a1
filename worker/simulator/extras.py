"""Further outputs of a run, small and of the kind that their names say: splats, meshes, poses, pictures."""

import base64
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import PurePath

_CORNERS = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"


def extra_file(name: str) -> tuple[bytes, str]:
    """Return the content and the media type of a further output by its name."""
    make, media_type = _KINDS.get(PurePath(name).suffix, (_noise, "application/octet-stream"))
    return make(), media_type


def key_of(name: str, taken: frozenset[str] | set[str]) -> str:
    """Return the key that names a file in a result: its stem, or the whole name where the stem is taken."""
    stem = PurePath(name).stem
    return name if stem in taken else stem


def _splat() -> bytes:
    """Return three gaussians as binary PLY."""
    names = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2")
    header = ["ply", "format binary_little_endian 1.0", "element vertex 3"]
    header += [f"property float {name}" for name in names] + ["end_header", ""]
    vertices = b"".join(struct.pack("<10f", *corner, 0.5, 0.5, 0.5, 1.0, 0.1, 0.1, 0.1) for corner in _CORNERS)
    return "\n".join(header).encode() + vertices


def _mesh() -> bytes:
    """Return a triangle as OBJ."""
    lines = [f"v {x} {y} {z}" for x, y, z in _CORNERS]
    return "\n".join([*lines, "f 1 2 3", ""]).encode()


def _poses() -> bytes:
    """Return where the object stands, as JSON."""
    pose = {"rotation": [1.0, 0.0, 0.0, 0.0], "translation": [0.0, 0.0, 1.0], "scale": [1.0, 1.0, 1.0]}
    return json.dumps({"poses": [pose]}).encode()


def _scene() -> bytes:
    """Return a triangle as USDZ: a ZIP that is not compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("scene.usda"), b'#usda 1.0\ndef Mesh "object" {}\n')
    return out.getvalue()


def _noise() -> bytes:
    """Return bytes that are of no known kind."""
    return bytes(range(256))


_KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    ".ply": (_splat, "application/octet-stream"),
    ".obj": (_mesh, "model/obj"),
    ".json": (_poses, "application/json"),
    ".png": (lambda: base64.b64decode(PIXEL), "image/png"),
    ".usdz": (_scene, "model/vnd.usdz+zip"),
    ".txt": (lambda: b"made by a stand-in model\n", "text/plain"),
}
