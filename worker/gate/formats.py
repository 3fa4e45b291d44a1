"""What a downloaded file is, by its bytes, and whether it is whole; the vendor's name for it is not used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from worker.errors import OutputBroken
from worker.gate.arrays import read_at
from worker.gate.glb import LARGEST_JSON, check_glb, check_gltf
from worker.gate.obj import check_obj
from worker.gate.ply import check_ply
from worker.gate.stl import check_stl
from worker.gate.zips import check_usdz, check_zip
from worker.rules.geometry import Geometry
from worker.rules.untrusted import DOCUMENT, read_json

HEADER_BYTES = 512


@dataclass(frozen=True)
class FileKind:
    """A kind of file: our name for one, and its media type."""

    name: str
    media_type: str
    is_model: bool = False


@dataclass(frozen=True)
class Found:
    """What a file is, and what is in it where it is a model that tells."""

    kind: FileKind
    geometry: Geometry | None = None


GLB = FileKind("model.glb", "model/gltf-binary", is_model=True)
GLTF = FileKind("model.gltf", "model/gltf+json", is_model=True)
SPLATS = FileKind("splat.ply", "application/ply", is_model=True)
PLY = FileKind("model.ply", "application/ply", is_model=True)
OBJ = FileKind("model.obj", "model/obj", is_model=True)
STL = FileKind("model.stl", "model/stl", is_model=True)
USDZ = FileKind("model.usdz", "model/vnd.usdz+zip", is_model=True)
ZIP = FileKind("artifacts.zip", "application/zip")
PNG = FileKind("image.png", "image/png")
JPEG = FileKind("image.jpg", "image/jpeg")
WEBP = FileKind("image.webp", "image/webp")
JSON = FileKind("facts.json", "application/json")

BY_BYTES = frozenset(["glb", "gltf", "ply", "usdz", "zip", "png", "jpg", "jpeg", "webp", "json"])
"""What addresses may promise that bytes can tell: another file there is an error page, or none."""

OTHERS: Mapping[str, FileKind] = {
    "mtl": FileKind("model.mtl", "model/mtl"),
    "splat": FileKind("model.splat", "application/octet-stream"),
    "spz": FileKind("model.spz", "application/octet-stream"),
    "npz": FileKind("arrays.npz", "application/zip"),
    "mp4": FileKind("film.mp4", "video/mp4"),
}
"""What bytes alone do not tell, by what the end of its address promises."""

TEXT = FileKind("notes.txt", "text/plain")
OTHER = FileKind("file.bin", "application/octet-stream")

MODELS = frozenset(kind.name.rpartition(".")[2] for kind in (GLB, GLTF, PLY, USDZ, OBJ, STL))


def identify(content: BinaryIO, size: int, promised: str = "") -> Found:
    """Tell what a file is and what is in it; ``promised`` is the end of its address, such as ``glb``.

    Raises:
        OutputBroken: it is not whole, or none of the kind that its address promises.
        OutputUnusable: it is whole, and nobody should open it.
    """
    content.seek(0)
    head = content.read(HEADER_BYTES)
    for magic, read in MAGIC.items():
        if head.startswith(magic):
            return read(content, size, head)
    return _untold(content, size, head, promised)


def _untold(content: BinaryIO, size: int, head: bytes, promised: str) -> Found:
    """Tell what has no mark of its own, where it can be what was promised."""
    found = _json(content, size) if head.lstrip()[:1] in {b"{", b"["} else None
    is_page = head.lstrip()[:1] == b"<"
    if not size or is_page or (found is None and promised in BY_BYTES) or (found and promised not in {"json", "gltf"}):
        raise OutputBroken(f"A file of {size} bytes is no {promised.upper() if promised in BY_BYTES else 'output'}.")
    if found or promised not in PROMISED:
        return found or Found(TEXT if promised == "txt" and _is_text(head) else OTHERS.get(promised, OTHER))
    kind, check = PROMISED[promised]
    return Found(kind, check(content, size))


def _is_text(head: bytes) -> bool:
    """Tell text in UTF-8, of which the last character may be cut, from other bytes."""
    return (
        all(byte >= 32 or byte in b"\t\r\n\f" for byte in head) and "\ufffd" not in head.decode(errors="replace")[:-1]
    )


def _glb(content: BinaryIO, size: int, head: bytes) -> Found:
    declared = int.from_bytes(head[8:12], "little")
    if len(head) < 12 or declared != size:
        raise OutputBroken(f"The GLB says it has {declared} bytes, {size} came.")
    return Found(GLB, check_glb(content, size))


def _ply(content: BinaryIO, size: int, _: bytes) -> Found:
    """Tell a mesh from splats; a cloud of points is named as they are."""
    geometry = check_ply(content, size)
    is_mesh = geometry.triangles != 0 and not geometry.splats
    return Found(PLY if is_mesh else SPLATS, geometry)


def _zip(content: BinaryIO, size: int, head: bytes) -> Found:
    """Tell a ZIP; a USDZ begins with its scene, which is not compressed (its specification, "Layout")."""
    length = int.from_bytes(head[26:28], "little")
    first = head[30 : 30 + length].lower() if head.startswith(b"PK\3\4") else b""
    is_scene = first.endswith((b".usd", b".usda", b".usdc"))
    check = check_usdz if is_scene else check_zip
    check(content, size)
    return Found(USDZ if is_scene else ZIP)


def _png(content: BinaryIO, size: int, _: bytes) -> Found:
    if b"IEND" not in read_at(content, max(0, size - 12), 12):
        raise OutputBroken(f"The PNG of {size} bytes has no end.")
    return Found(PNG)


def _jpeg(content: BinaryIO, size: int, _: bytes) -> Found:
    """Tell a JPEG; some cameras write behind its end."""
    if b"\xff\xd9" not in read_at(content, max(0, size - LONGEST_TRAILER), LONGEST_TRAILER):
        raise OutputBroken(f"The JPEG of {size} bytes has no end.")
    return Found(JPEG)


LONGEST_TRAILER = 2**16


def _webp(_: BinaryIO, size: int, head: bytes) -> Found:
    if head[8:12] != b"WEBP":
        return Found(OTHER)
    declared = int.from_bytes(head[4:8], "little") + 8
    if declared != size:
        raise OutputBroken(f"The WebP says it has {declared} bytes, {size} came.")
    return Found(WEBP)


def _json(content: BinaryIO, size: int) -> Found | None:
    """Tell a JSON document that is whole; a larger one than anybody writes is taken for any file."""
    if size > LARGEST_JSON:
        return None
    try:
        value = read_json(read_at(content, 0, size), DOCUMENT)
    except ValueError:
        return None
    return Found(GLTF, check_gltf(value, size)) if isinstance(value, dict) and "asset" in value else Found(JSON)


MAGIC: Mapping[bytes, Callable[[BinaryIO, int, bytes], Found]] = {
    b"glTF": _glb,
    b"ply\n": _ply,
    b"ply\r\n": _ply,
    b"PK": _zip,
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": _jpeg,
    b"RIFF": _webp,
}
"""How files begin, and what reads on."""

PROMISED: Mapping[str, tuple[FileKind, Callable[[BinaryIO, int], Geometry]]] = {
    "obj": (OBJ, check_obj),
    "stl": (STL, check_stl),
}
"""Models that begin with no mark, and what reads them."""
