"""What a downloaded file is, by its bytes, and whether it is whole; the vendor's name for it is not used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from worker.errors import OutputBroken
from worker.outputs.glb import LARGEST_JSON, check_glb
from worker.outputs.zips import check_zip
from worker.rules.untrusted import DOCUMENT, read_json

HEADER_BYTES = 512
LONGEST_PLY_HEADER = 64 * 2**10


@dataclass(frozen=True)
class FileKind:
    """A kind of file: our name for one, and its media type."""

    name: str
    media_type: str
    is_model: bool = False


GLB = FileKind("model.glb", "model/gltf-binary", is_model=True)
GLTF = FileKind("model.gltf", "model/gltf+json", is_model=True)
PLY = FileKind("splat.ply", "application/ply", is_model=True)
USDZ = FileKind("model.usdz", "model/vnd.usdz+zip", is_model=True)
ZIP = FileKind("artifacts.zip", "application/zip")
PNG = FileKind("image.png", "image/png")
JPEG = FileKind("image.jpg", "image/jpeg")
WEBP = FileKind("image.webp", "image/webp")
JSON = FileKind("facts.json", "application/json")

BY_BYTES = frozenset(["glb", "gltf", "ply", "usdz", "zip", "png", "jpg", "jpeg", "webp", "json"])
"""What addresses may promise that bytes can tell: another file there is an error page, or none."""

OTHERS: Mapping[str, FileKind] = {
    "obj": FileKind("model.obj", "model/obj", is_model=True),
    "stl": FileKind("model.stl", "model/stl", is_model=True),
    "mtl": FileKind("model.mtl", "model/mtl"),
    "splat": FileKind("model.splat", "application/octet-stream"),
    "spz": FileKind("model.spz", "application/octet-stream"),
    "npz": FileKind("arrays.npz", "application/zip"),
    "mp4": FileKind("film.mp4", "video/mp4"),
}
"""What bytes alone do not tell, by what the end of its address promises."""

OTHER = FileKind("file.bin", "application/octet-stream")

MODELS = frozenset(kind.name.rpartition(".")[2] for kind in (GLB, GLTF, PLY, USDZ, *OTHERS.values()) if kind.is_model)


def identify(content: BinaryIO, size: int, promised: str = "") -> FileKind:
    """Tell what a file is; ``promised`` is the end of its address, such as ``glb``.

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


def _untold(content: BinaryIO, size: int, head: bytes, promised: str) -> FileKind:
    """Tell what has no mark of its own, where it can be what was promised."""
    found = _json(content, size) if head.lstrip()[:1] in {b"{", b"["} else None
    is_page = head.lstrip()[:1] == b"<"
    if not size or is_page or (found is None and promised in BY_BYTES) or (found and promised not in {"json", "gltf"}):
        raise OutputBroken(f"A file of {size} bytes is no {promised.upper() if promised in BY_BYTES else 'output'}.")
    return found or OTHERS.get(promised, OTHER)


def _glb(content: BinaryIO, size: int, head: bytes) -> FileKind:
    declared = int.from_bytes(head[8:12], "little")
    if len(head) < 12 or declared != size:
        raise OutputBroken(f"The GLB says it has {declared} bytes, {size} came.")
    check_glb(content, size)
    return GLB


def _ply(content: BinaryIO, size: int, _: bytes) -> FileKind:
    content.seek(0)
    if b"end_header" not in content.read(LONGEST_PLY_HEADER):
        raise OutputBroken(f"The PLY of {size} bytes has no end of its header.")
    return PLY


def _zip(content: BinaryIO, size: int, head: bytes) -> FileKind:
    """Tell a ZIP; a USDZ begins with its scene, which is not compressed (its specification, "Layout")."""
    check_zip(content, size)
    length = int.from_bytes(head[26:28], "little")
    first = head[30 : 30 + length].lower() if head.startswith(b"PK\3\4") else b""
    return USDZ if first.endswith((b".usd", b".usda", b".usdc")) else ZIP


def _png(content: BinaryIO, size: int, _: bytes) -> FileKind:
    content.seek(max(0, size - 12))
    if b"IEND" not in content.read():
        raise OutputBroken(f"The PNG of {size} bytes has no end.")
    return PNG


def _webp(_: BinaryIO, size: int, head: bytes) -> FileKind:
    if head[8:12] != b"WEBP":
        return OTHER
    declared = int.from_bytes(head[4:8], "little") + 8
    if declared != size:
        raise OutputBroken(f"The WebP says it has {declared} bytes, {size} came.")
    return WEBP


def _json(content: BinaryIO, size: int) -> FileKind | None:
    """Tell a JSON document that is whole; a larger one than anybody writes is taken for any file."""
    if size > LARGEST_JSON:
        return None
    content.seek(0)
    try:
        value = read_json(content.read(), DOCUMENT)
    except ValueError:
        return None
    return GLTF if isinstance(value, dict) and "asset" in value else JSON


MAGIC: Mapping[bytes, Callable[[BinaryIO, int, bytes], FileKind]] = {
    b"glTF": _glb,
    b"ply\n": _ply,
    b"ply\r\n": _ply,
    b"PK": _zip,
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": lambda *_: JPEG,
    b"RIFF": _webp,
}
"""How files begin, and what reads on."""
