"""An STL is kept if it has the triangles that it says, or an end."""

import io
import struct
from typing import Any

import pytest
import trimesh as typed_trimesh

from tests.support.containers import verdict
from worker.gate.stl import check_stl
from worker.rules.geometry import Geometry

trimesh: Any = typed_trimesh  # Much of it has no types.

BOX = trimesh.creation.box()
PACKED, TEXT = BOX.export(file_type="stl"), BOX.export(file_type="stl_ascii").encode()


@pytest.mark.parametrize(
    "content", [PACKED, TEXT, b"solid" + PACKED[5:]], ids=["bytes", "text", "bytes that say solid"]
)
def test_a_mesh(content: bytes) -> None:
    """Some that are bytes begin as text does."""
    assert check_stl(io.BytesIO(content), len(content)) == Geometry(
        triangles=12,
        vertices=36,
        bounds=((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5)),
        has_colours=False,
        has_textures=False,
        splats=0,
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has 0 triangles by its header, which take 84 bytes"),
        (bytes(84), "has 0 triangles"),
        (PACKED[:-1], "has 12 triangles by its header, which take 684 bytes"),
        (PACKED + b"\0", "which take 684 bytes"),
        (PACKED[:96] + struct.pack("<f", float("nan")) + PACKED[100:], "no finite number"),
        (bytes(80) + b"\1\0\0\0" + bytes(50), "at one point"),
        (TEXT[:-20], "has no end"),
        (TEXT.replace(b"vertex", b"vortex", 1), "has 35 corners"),
        (b"solid\nendsolid\n", "has 0 corners"),
        (b"solid\nvertex 0 0\nendsolid", "no three numbers"),
    ],
)
def test_a_broken_stl_is_told(content: bytes, why: str) -> None:
    """With numbers."""
    told = verdict(check_stl, content)
    assert told.startswith(f"OutputBroken: The STL of {len(content)} bytes ")
    assert why in told


def test_what_is_very_long_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not seen is not told."""
    monkeypatch.setattr("worker.gate.stl.MOST_LINES", 9)
    geometry = check_stl(io.BytesIO(TEXT), len(TEXT))
    assert (geometry.triangles, geometry.vertices, geometry.bounds) == (None, None, None)
