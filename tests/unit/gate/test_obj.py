"""An OBJ is kept if its faces name corners that are there."""

import io
from typing import Any

import pytest
import trimesh as typed_trimesh

from tests.support.containers import verdict
from worker.gate.obj import check_obj
from worker.rules.geometry import Geometry

trimesh: Any = typed_trimesh  # Much of it has no types.

CORNERS = b"# a comment\nv 0 0 0\nv 1 0 0\nv 0 2 0 1.0\n"


def found(content: bytes) -> Geometry:
    """Return what is in an OBJ."""
    return check_obj(io.BytesIO(content), len(content))


@pytest.mark.parametrize("face", [b"f 1 2 3", b"f 1/1 2/2 3/3", b"f 1//4 2//4 3//4", b"f -3 -2 -1", b"f 1 2 3\r\n\r\n"])
def test_a_mesh(face: bytes) -> None:
    """A corner has a number, and may have others behind it."""
    assert found(CORNERS + b"usemtl x\n" + face) == Geometry(
        triangles=1, vertices=3, bounds=((0, 0, 0), (1, 2, 0)), has_colours=False, has_textures=False, splats=0
    )


def test_what_others_write() -> None:
    """With colours at corners, and with coordinates of a texture."""
    box = trimesh.creation.box()
    box.visual.vertex_colors = [200, 100, 50, 255]
    geometry = found(box.export(file_type="obj").encode())
    assert (geometry.triangles, geometry.vertices, geometry.has_colours) == (12, 8, True)
    assert found(CORNERS + b"vt 0 0\nf 1/1 2/1 3/1").has_textures


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has no corner"),
        (b"\0\1\2" * 99, "has no corner"),
        (b"v 0 0", "no three numbers"),
        (b"v a b c", "no three numbers"),
        (b"v 0 0 inf", "no finite number"),
        (b"v 1 1 1\nv 1 1 1\n", "at one point"),
        (CORNERS + b"f 1 2", "a face of 2 corners"),
        (CORNERS + b"f 1 2 x", "names no corner"),
        (CORNERS + b"f 0 1 2", "names corner 0 of 3"),
        (CORNERS + b"f -4 1 2", "names corner -4 of 3"),
        (CORNERS + b"f 1 2 4", "names more than its 3 corners"),
        (CORNERS + b"f 1 2 " + b"9" * 5000, "names more than its 3 corners"),
        (CORNERS + b"#" * 2**17, "a line of more than 65536 bytes"),
        (b"\n" * 2**20, "more than 524288 empty ones"),
    ],
)
def test_a_broken_obj_is_told(content: bytes, why: str) -> None:
    """With numbers."""
    told = verdict(check_obj, content)
    assert told.startswith(f"OutputBroken: The OBJ of {len(content)} bytes ")
    assert why in told


def test_what_is_very_long_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces may name corners that come later; what was not seen is not told."""
    monkeypatch.setattr("worker.gate.obj.MOST_LINES", 4)
    geometry = found(CORNERS.replace(b"# a comment", b"f 1 2 3") + b"oops\n")
    assert (geometry.triangles, geometry.vertices, geometry.bounds) == (None, None, None)
