"""A PLY is kept if it has what its header says."""

import io
import struct
import time
from typing import Any

import numpy as np
import pytest
import trimesh as typed_trimesh

from tests.support.containers import verdict
from worker.gate import lines, polygons
from worker.gate.ply import check_ply
from worker.rules.geometry import Geometry
from worker.simulator.extras import extra_file

trimesh: Any = typed_trimesh  # Much of it has no types.

SPLAT, _ = extra_file("splat.ply")
CORNERS = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (1.0, 2.0, 3.0))
XYZ = ("float x", "float y", "float z")
LIST = "list uchar int vertex_indices"


def ply(form: str, body: bytes, *elements: tuple[str, int, tuple[str, ...]]) -> bytes:
    """Return a PLY of elements, each with a name, how many there are, and properties."""
    said = ["ply", f"format {form} 1.0", "comment of a test"]
    for name, count, properties in elements:
        said += [f"element {name} {count}", *(f"property {each}" for each in properties)]
    return "\n".join([*said, "end_header", ""]).encode() + body


def packed(mark: str = "<", *faces: tuple[int, ...]) -> bytes:
    """Return four corners and faces as a binary PLY."""
    form = "binary_little_endian" if mark == "<" else "binary_big_endian"
    body = b"".join(struct.pack(f"{mark}fBff", x, 9, y, z) for x, y, z in CORNERS)
    body += b"".join(struct.pack(f"{mark}B{len(face)}i", len(face), *face) for face in faces)
    vertex = ("float x", "uchar red", "float y", "float z")
    return ply(form, body, ("vertex", 4, vertex), ("face", len(faces), (LIST,)))


def found(content: bytes) -> Geometry:
    """Return what is in a PLY."""
    return check_ply(io.BytesIO(content), len(content))


def test_gaussian_splats() -> None:
    """Known by what a corner has not."""
    box = ((0, 0, 0), (1, 1, 0))
    assert found(SPLAT) == Geometry(triangles=0, vertices=0, bounds=box, has_colours=True, has_textures=False, splats=3)


@pytest.mark.parametrize("mark", ["<", ">"])
@pytest.mark.parametrize("faces", [[(0, 1, 2), (1, 2, 3)], [(0, 1, 2), (0, 1, 2, 3)], [(0, 1, 2, 3)], []])
def test_a_mesh_in_bytes(mark: str, faces: list[tuple[int, ...]]) -> None:
    """In either order of bytes, of triangles, of other faces, or of none."""
    geometry = found(packed(mark, *faces))
    assert geometry.triangles == sum(len(face) - 2 for face in faces)
    assert (geometry.vertices, geometry.bounds, geometry.splats) == (4, ((0, 0, 0), (1, 2, 3)), 0)


@pytest.mark.parametrize("encoding", ["binary", "ascii"])
def test_what_others_write(encoding: str) -> None:
    """A mesh with colours at its corners, and a cloud."""
    mesh = trimesh.creation.box()
    mesh.visual.vertex_colors = np.full((8, 4), 200, np.uint8)
    geometry = found(mesh.export(file_type="ply", encoding=encoding))
    assert (geometry.triangles, geometry.vertices, geometry.has_colours) == (12, 8, True)
    assert geometry.bounds == ((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
    assert found(trimesh.PointCloud(np.eye(3)).export(file_type="ply")).triangles == 0


SPACE = ("vertex", 2, XYZ)
TWO = b"0 0 0\n1 1 1\n"
TWO_PACKED = struct.pack("<6f", 0, 0, 0, 1, 1, 1)

BROKEN = {
    "a header alone": (b"ply\n", "no end of its header"),
    "a header that is cut": (SPLAT[:60], "no end of its header"),
    "an end that is none": (SPLAT.replace(b"end_header", b"end_headers"), "no end of its header"),
    "a long header": (b"ply\n" + b"comment x\n" * 9_999 + SPLAT[4:], "no end of its header"),
    "no format": (SPLAT.replace(b"format", b"farmat"), "no known format"),
    "another format": (SPLAT.replace(b"little", b"middle"), "no known format"),
    "another version": (SPLAT.replace(b"1.0\n", b"2.0\n"), "no known format"),
    "a line that is none": (SPLAT.replace(b"element", b"elephant"), "a line in its header that is none"),
    "a count of text": (SPLAT.replace(b"vertex 3", b"vertex x"), "a count that is no number"),
    "a count below zero": (SPLAT.replace(b"vertex 3", b"vertex -3"), "a count that is no number"),
    "a count too large": (SPLAT.replace(b"vertex 3", b"vertex " + b"9" * 99), "a count that is no number"),
    "one more": (SPLAT.replace(b"vertex 3", b"vertex 4"), "has 120 bytes behind its header, of 160"),
    "one less": (SPLAT.replace(b"vertex 3", b"vertex 2"), "has 120 bytes behind its header, of 80"),
    "10**15": (SPLAT.replace(b"vertex 3", b"vertex 1000000000000000"), "a count that is no number|has 120 bytes"),
    "none": (SPLAT.replace(b"vertex 3", b"vertex 0"), "has no vertex"),
    "another name": (SPLAT.replace(b"vertex", b"vortex"), "has no vertex"),
    "two of a name": (SPLAT.replace(b"end_header", b"element vertex 0\nend_header"), "has no vertex"),
    "a type that is none": (SPLAT.replace(b"float x", b"flout x"), "no known type"),
    "no x": (SPLAT.replace(b"float x", b"float a"), "without x, y and z"),
    "x as a whole number": (SPLAT.replace(b"float x", b"int x"), "without x, y and z"),
    "x twice": (SPLAT.replace(b"float opacity", b"float x"), "two numbers of one name"),
    "a list of floats long": (SPLAT.replace(b"float opacity", b"list float int a"), "no known type"),
    "a vertex with a list": (SPLAT.replace(b"float opacity", b"list uchar int a"), "has a list in its vertices"),
    "a byte more": (SPLAT + b"\0", "has 121 bytes behind its header, of 120"),
    "a byte less": (SPLAT[:-1], "has 119 bytes behind its header, of 120"),
    "a NaN": (SPLAT[:-40] + struct.pack("<f", float("nan")) + SPLAT[-36:], "no finite number"),
    "one point": (ply("binary_little_endian", bytes(24), SPACE), "at one point"),
    "a face of a corner that is not there": (packed("<", (0, 1, 4)), "names corner 4 of 4"),
    "a face of a corner below zero": (packed("<", (0, 1, -1)), "names corner -1 of 4"),
    "an odd face of one": (packed("<", (0, 1, 2), (0, 1, 2, 7)), "names corner 7 of 4"),
    "faces that are cut": (packed("<", (0, 1, 2), (1, 2, 3))[:-2], "too soon|within a face"),
    "a face less": (packed("<", (0, 1, 2)).replace(b"face 1", b"face 2"), "too soon"),
    "a face more": (packed("<", (0, 1, 2), (1, 2, 3)).replace(b"face 2", b"face 1"), "behind its header, of 65"),
    "text: a line less": (ply("ascii", TWO[:6], SPACE), "has 1 lines of an element of 2"),
    "text: a line more": (ply("ascii", TWO + b"2 2 2\n", SPACE), "goes on behind its last"),
    "text: words": (ply("ascii", b"a b c\n1 1 1\n", SPACE), "no three numbers"),
    "text: two numbers": (ply("ascii", b"0 0\n1 1 1\n", SPACE), "a line of 2 numbers, not of 3"),
    "text: a NaN": (ply("ascii", b"nan 0 0\n1 1 1\n", SPACE), "no finite number"),
    "text: one point": (ply("ascii", b"1 1 1\n1 1 1\n", SPACE), "at one point"),
    "text: a face of two": (ply("ascii", TWO + b"2 0 1\n", SPACE, ("face", 1, (LIST,))), "a face of 2 corners"),
    "text: a short face": (ply("ascii", TWO + b"3 0 1\n", SPACE, ("face", 1, (LIST,))), "in a line of 3 numbers"),
    "text: bytes": (ply("ascii", TWO_PACKED, SPACE), ""),
    "text: a long line": (ply("ascii", b"0" * 2**17, SPACE), "a line of more than"),
    "text: 10**15": (ply("ascii", TWO, ("vertex", 999_999_999_999_999, XYZ)), "has 2 lines of an element"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_ply_is_told(name: str) -> None:
    """With numbers, and soon."""
    content, why = BROKEN[name]
    began = time.thread_time()
    with pytest.raises(Exception, match=rf"^The PLY of {len(content)} bytes .*({why}).*\.$"):
        found(content)
    assert verdict(check_ply, content).startswith("OutputBroken")
    assert time.thread_time() - began < 0.5


def test_what_is_very_long_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, and faces of unequal size, are not read for ever; what was not seen is not told."""
    monkeypatch.setattr(lines, "MOST_LINES", 1)
    monkeypatch.setattr("worker.gate.ply.MOST_LINES", 2)
    monkeypatch.setattr(polygons, "MOST_UNEQUAL", 1)
    longer = found(ply("ascii", TWO + b"oops\n", SPACE, ("face", 1, (LIST,))))
    assert (longer.triangles, longer.vertices, longer.bounds) == (None, 2, None)
    unequal = found(packed("<", (0, 1, 2), (0, 1, 2, 3)))
    assert (unequal.triangles, unequal.bounds) == (None, ((0, 0, 0), (1, 2, 3)))
