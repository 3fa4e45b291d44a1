"""What a downloaded file is told by its bytes, whatever it is called; two of a kind get two names."""

import io
import json
import struct
import zipfile

import pytest

from tests.support.containers import DOCUMENT, described
from worker.errors import OutputBroken
from worker.gate.formats import identify
from worker.rules.geometry import Geometry
from worker.simulator.extras import extra_file

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20) + b"IEND\xae\x42\x60\x82"
WEBP = b"RIFF" + (12).to_bytes(4, "little") + b"WEBPVP8 " + bytes(4)
GLB = described(DOCUMENT)
BOUNDED = [{**DOCUMENT["accessors"][0], "min": [0, 0, 0], "max": [1, 2, 3]}]
BESIDE = [{"byteLength": 36, "uri": "model.bin"}]
GLTF = json.dumps({**DOCUMENT, "buffers": BESIDE, "accessors": BOUNDED}).encode()
SPLATS, _ = extra_file("splat.ply")
PLY = b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
FACES = PLY + b"element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def glb(declared: int, size: int) -> bytes:
    """Return a GLB of this size that says it has that one."""
    return (b"glTF" + (2).to_bytes(4, "little") + declared.to_bytes(4, "little")).ljust(size, b"\0")


def packed(*names: str) -> bytes:
    """Return a ZIP with files of these names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (GLB, "model.glb", "model/gltf-binary"),
        (packed("a.txt"), "artifacts.zip", "application/zip"),
        (packed("scene.usdc", "0/texture.png"), "model.usdz", "model/vnd.usdz+zip"),
        (SPLATS, "splat.ply", "application/ply"),
        (PLY + b"end_header\n0 0 0\n1 0 0\n0 1 0\n", "splat.ply", "application/ply"),
        (FACES, "model.ply", "application/ply"),
        (PNG, "image.png", "image/png"),
        (b"\xff\xd8\xff\xe0\xff\xd9", "image.jpg", "image/jpeg"),
        (WEBP, "image.webp", "image/webp"),
        (b"RIFF\0\0\0\0AVI ", "file.bin", "application/octet-stream"),
        (b"\0\1\2", "file.bin", "application/octet-stream"),
    ],
)
def test_a_file_is_known_by_its_bytes(content: bytes, name: str, media_type: str) -> None:
    """Whatever it is called where it comes from."""
    kind = identify(io.BytesIO(content), len(content)).kind
    assert (kind.name, kind.media_type) == (name, media_type)


@pytest.mark.parametrize(
    ("content", "evidence"),
    [
        (b"", "0 bytes is no GLB"),
        (b"oops", "4 bytes is no GLB"),
        (b"<html>", "6 bytes is no GLB"),
        (b'{"error": "x"}', "14 bytes is no GLB"),
        (b"glTF", "0 bytes, 4 came"),
        (b"ply\nformat", "no end of its header"),
        (PNG[:-12], "no end"),
        (b"\xff\xd8\xff\xe0", "The JPEG of 4 bytes has no end"),
        (WEBP[:-1], "The WebP says it has 20 bytes, 19 came"),
        (packed(), "has no files"),
        (glb(100, 100), "another order than JSON"),
        (glb(12, 12), "ends within a chunk"),
        (glb(100, 99), "says it has 100 bytes, 99 came"),
        (glb(100, 101), "says it has 100 bytes, 101 came"),
        (glb(2**32 - 1, 50), "50 came"),
        (packed("a.txt")[:-5], "has no directory"),
        (b"PK", "has no directory"),
        (b"PK\3\4" + bytes(100), "has no directory"),
    ],
)
def test_a_broken_file_is_told_with_evidence(content: bytes, evidence: str) -> None:
    """Sizes say more than "broken": what was promised and what came."""
    with pytest.raises(OutputBroken, match=evidence):
        identify(io.BytesIO(content), len(content), "glb")


@pytest.mark.parametrize(
    ("content", "promised", "name"),
    [
        (GLTF, "gltf", "model.gltf"),
        (b'[{"pose": 1}]', "json", "facts.json"),
        (TRIANGLE, "obj", "model.obj"),
        (bytes(80) + b"\1\0\0\0" + struct.pack("<12f", *range(12)) + b"\0\0", "stl", "model.stl"),
        (b"made by a model\n", "txt", "notes.txt"),
        (b"\0\1", "txt", "file.bin"),
        (b"\0\1", "splat", "model.splat"),
        (packed("a.npy"), "npz", "artifacts.zip"),
        (b"v 0 0 0", "exe", "file.bin"),
        (PNG, "glb", "image.png"),
    ],
)
def test_what_bytes_do_not_tell_its_address_does(content: bytes, promised: str, name: str) -> None:
    """Within what we know: no name of the vendor's becomes one of ours, and bytes come first."""
    assert identify(io.BytesIO(content), len(content), promised).kind.name == name


@pytest.mark.parametrize("promised", ["", "zip", "ply", "exe"])
@pytest.mark.parametrize("content", [b"", b"  <!doctype html>", b'{"error": "not yet"}', b"[1]"])
def test_an_error_page_is_no_file(content: bytes, promised: str) -> None:
    """It would take the place of what it speaks of."""
    with pytest.raises(OutputBroken):
        identify(io.BytesIO(content), len(content), promised)


@pytest.mark.parametrize(
    ("content", "promised", "why"),
    [
        (GLTF.replace(b'"min"', b'"mix"'), "gltf", "does not tell their bounds"),
        (b'{"asset": {"version": "2.0"}}', "gltf", "shows no mesh"),
        (GLTF.replace(b"model.bin", b"data:;base64,AAAA"), "gltf", "has a buffer of 36 bytes where 3 are"),
        (TRIANGLE + b"f 1 2 9", "obj", "names more than its 3 corners"),
        (b"solid oops", "stl", "has no end"),
    ],
)
def test_a_model_that_is_broken_is_told(content: bytes, promised: str, why: str) -> None:
    """Whatever it is written in."""
    with pytest.raises(OutputBroken, match=why):
        identify(io.BytesIO(content), len(content), promised)


def test_what_is_in_a_model_goes_with_it() -> None:
    """A file that is none has nothing."""
    assert identify(io.BytesIO(GLB), len(GLB)).geometry == Geometry(
        triangles=1, vertices=3, bounds=((0, 0, 0), (1, 1, 0)), has_colours=False, has_textures=False, splats=0
    )
    assert identify(io.BytesIO(PNG), len(PNG)).geometry is None


def test_bytes_in_another_file_are_believed() -> None:
    """A glTF that is JSON alone has them there; its box is known where it tells it."""
    assert identify(io.BytesIO(GLTF), len(GLTF), "gltf").geometry == Geometry(
        triangles=1, vertices=3, bounds=((0, 0, 0), (1, 2, 3)), has_colours=False, has_textures=False, splats=0
    )
