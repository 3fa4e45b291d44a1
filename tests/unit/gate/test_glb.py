"""A GLB is kept if it is whole, whoever wrote it."""

import hashlib
import io
import json
import struct
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh as typed_trimesh

from tests.support.containers import BIN, BUDGET, DOCUMENT, described, filled, glb, verdict
from tests.support.mutilated import FORGIVEN, GLBS, MUTILATED, packed, read
from worker.errors import OutputBroken
from worker.gate import arrays
from worker.gate.formats import identify
from worker.gate.glb import check_glb
from worker.gate.zips import check_zip
from worker.rules.geometry import Geometry
from worker.simulator.artifacts import Files, make_files
from worker.simulator.model import Hint

trimesh: Any = typed_trimesh  # Much of it has no types.


@pytest.fixture(scope="module")
def made(png: bytes) -> Files:
    """Return what the simulator makes of a photo."""
    return make_files(png, Hint(), 5)


def test_what_the_simulator_makes_is_kept(made: Files) -> None:
    """A model with a texture, and a ZIP of what was made on the way."""
    assert verdict(check_glb, made.glb) == verdict(check_zip, made.zip) == ""


@pytest.mark.parametrize(
    "scene",
    [trimesh.Scene([trimesh.creation.box()]), trimesh.Scene([trimesh.PointCloud(np.eye(3))])],
    ids=["mesh", "points"],
)
def test_what_others_write_is_kept(scene: Any) -> None:
    """Models with colours at their corners alone, and clouds."""
    assert verdict(check_glb, scene.export(file_type="glb")) == ""


URI = "data:application/octet-stream;base64," + b64encode(BIN[1]).decode()

GOOD = {
    "both": described(DOCUMENT),
    "an unknown chunk behind": glb((b"JSON", filled(DOCUMENT)), BIN, (b"XTRA", b"")),
    "numbers with a point": described({**DOCUMENT, "bufferViews": [{"buffer": 0.0, "byteLength": 36.0}]}),
    "a data URI, and no data": glb((b"JSON", filled({**DOCUMENT, "buffers": [{"byteLength": 36, "uri": URI}]}))),
    "an unknown chunk in place of data": glb(
        (b"JSON", filled({**DOCUMENT, "buffers": [{"byteLength": 36, "uri": URI}]})), (b"XTRA", b"1234")
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_sound_glb_is_kept(name: str) -> None:
    """Chunks of other kinds are for those who know them (glTF 2.0, "Chunks")."""
    assert check_glb(io.BytesIO(GOOD[name]), len(GOOD[name])).bounds == ((0, 0, 0), (1, 1, 0))


BROKEN = {
    "a header alone": glb(),
    "half a chunk's header": glb() + b"1234",
    "noise": glb() + bytes(range(200)),
    "an end within the JSON": described(DOCUMENT)[:40],
    "an end within the data": described(DOCUMENT)[:-1],
    "a byte too many": described(DOCUMENT) + b"\0",
    "a chunk longer than all": glb() + struct.pack("<I4s", 2**32 - 1, b"JSON"),
    "data first": glb(BIN, (b"JSON", b"{}")),
    "two of JSON": glb((b"JSON", filled(DOCUMENT)), (b"JSON", b"{}  ")),
    "data twice": glb((b"JSON", filled(DOCUMENT)), BIN, BIN),
    "no JSON": glb((b"JSON", b"oops")),
    "empty JSON": glb((b"JSON", b"")),
    "JSON in another writing": glb((b"JSON", b"\xff\xfe{\0")),
    "JSON that is not filled up": glb((b"JSON", json.dumps(DOCUMENT).encode() + b" "), BIN),
    "deep JSON": glb((b"JSON", b'{"asset":' * 10_000 + b"  ")),
    "JSON of many parts": glb((b"JSON", b"[" + b"{}," * 4_000_000 + b"{}] ")),
    "very many parts of a kind": described({**DOCUMENT, "nodes": [{}] * 10_001}),
    "very many primitives": described({**DOCUMENT, "meshes": [{"primitives": [{}] * 9_999}] * 2}),
    "a list": described([DOCUMENT]),
    "no asset": described({"scenes": []}),
    "an asset that is none": described({"asset": "2.0"}),
    "no version": described({"asset": {"generator": "x"}}),
    "a version that is none": described({"asset": {"version": 2}}),
    "very many chunks": glb((b"JSON", filled(DOCUMENT)), *[(b"XTRA", b"")] * 100_000),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_glb_is_told(name: str) -> None:
    """It is fetched again, and its job fails if it stays so; in no time, and in little memory."""
    content, began = BROKEN[name], time.thread_time()
    assert verdict(check_glb, content).startswith(f"OutputBroken: The GLB of {len(content)} bytes ")
    assert time.thread_time() - began < BUDGET


WRITERS = sorted(path.stem for path in GLBS.glob("*.glb"))
VERDICTS = json.loads((GLBS / "verdicts.json").read_text())

JUDGED = {**MUTILATED, **FORGIVEN}

EXPLAINED = {
    "accessor: no view": "all of it is zero, as it may be: nothing is to be seen",
    "draco: in no view": "the validator does not read the extension",
    "meshopt: behind its buffer": "the validator does not read the extension",
    "file: four bytes more": "a warning there; here a download that is not what was declared",
    "node: no mesh": "a scene may be empty: nothing is to be seen",
    "node: without size": "a scale may be zero: nothing is to be seen",
    "primitive: no positions": "an extension might have them: nothing is to be seen",
    "scene: no node": "a scene may be empty: nothing is to be seen",
}
"""Where Khronos' validator has no error, and why the file is refused all the same."""


@pytest.mark.parametrize("name", WRITERS)
def test_what_the_writers_of_the_field_write_is_kept(name: str) -> None:
    """Each is sound to Khronos' validator as well (README.md beside them says who wrote it)."""
    content = (GLBS / f"{name}.glb").read_bytes()
    found = check_glb(io.BytesIO(content), len(content))
    assert found.vertices
    assert found.bounds
    assert VERDICTS[name] == {"sha256": digest(content), "errors": []}


@pytest.mark.parametrize("name", MUTILATED)
def test_what_is_wrong_in_one_thing_is_never_kept(name: str) -> None:
    """The sentence has numbers, and nothing of the file."""
    with pytest.raises(OutputBroken, match=r"^(The GLB|A file) .*\d.*\.$"):
        identify(io.BytesIO(MUTILATED[name]), len(MUTILATED[name]), "glb")


@pytest.mark.parametrize("name", JUDGED)
def test_khronos_judges_alike(name: str) -> None:
    """But for what is explained, and for what any viewer draws all the same."""
    content = JUDGED[name]
    assert VERDICTS[name]["sha256"] == digest(content), "make verdicts.json anew, as its README.md says"
    assert bool(VERDICTS[name]["errors"]) is (name not in EXPLAINED)


@pytest.mark.parametrize("name", FORGIVEN)
def test_what_any_viewer_draws_is_kept(name: str) -> None:
    """It was paid for."""
    assert verdict(check_glb, FORGIVEN[name]) == ""


def digest(content: bytes) -> str:
    """Return what a verdict knows a file by."""
    return hashlib.sha256(content).hexdigest()[:16]


def test_what_is_in_a_model_is_told() -> None:
    """As SAM 3D Objects makes one: colours at its corners, no texture."""
    content = (GLBS / "sam3d.glb").read_bytes()
    assert check_glb(io.BytesIO(content), len(content)) == Geometry(
        triangles=320,
        vertices=162,
        bounds=((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5)),
        has_colours=True,
        has_textures=False,
        splats=0,
    )


def test_a_name_in_a_file_is_not_told() -> None:
    """Whoever reads the sentence reads no stranger's text."""
    document, binary = read()
    document["meshes"][0]["primitives"][0]["attributes"]["_secret"] = 99
    assert "secret" not in verdict(check_glb, packed(document, binary))


def write_large(path: Path, corners: int) -> int:
    """Write a model of so many corners, each of one triangle more, and return its size."""
    places = np.linspace([-1, -2, -3], [1, 2, 3], corners, dtype=np.float32)
    triangles = np.arange(corners, dtype=np.uint32)
    document = {
        **DOCUMENT,
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": corners, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": corners, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": places.nbytes},
            {"buffer": 0, "byteOffset": places.nbytes, "byteLength": triangles.nbytes},
        ],
        "buffers": [{"byteLength": places.nbytes + triangles.nbytes}],
    }
    return path.write_bytes(packed(document, places.tobytes() + triangles.tobytes()))


def test_a_large_model_takes_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mebibyte of memory, and its box is that of all its corners, though not all are compared."""
    monkeypatch.setattr(arrays, "MOST_COMPARED", 2**14)
    path, corners = tmp_path / "large.glb", 2**18
    size = write_large(path, corners)
    tracemalloc.start()
    with path.open("rb") as content:
        found = check_glb(content, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert (found.vertices, found.triangles) == (corners, corners // 3)
    assert found.bounds
    assert np.allclose(found.bounds, [(-1, -2, -3), (1, 2, 3)], atol=1e-3)


MANY = 5_000
MESH, ARRAY = DOCUMENT["meshes"][0], DOCUMENT["accessors"][0]
LABOURS: Mapping[str, dict[str, Any]] = {
    "nodes with a frame": {
        "nodes": [{"mesh": 0, "scale": [1, 1, 2]}] * MANY, "scenes": [{"nodes": list(range(MANY))}]},
    "scenes of the same nodes": {
        "nodes": [{"mesh": 0, "children": list(range(1, MANY))}] + [{"mesh": 0}] * (MANY - 1),
        "scenes": [{"nodes": [0]}] * MANY},
    "nodes and meshes": {
        "nodes": [{"mesh": number} for number in range(MANY)], "meshes": [MESH] * MANY,
        "scenes": [{"nodes": list(range(MANY))}]},
    "arrays": {
        "accessors": [{**ARRAY, "max": [1, 1, number]} for number in range(MANY)],
        "meshes": [{"primitives": [{"attributes": {"POSITION": number}} for number in range(MANY)]}]},
}  # fmt: skip


@pytest.mark.parametrize("name", LABOURS)
def test_no_description_is_much_work(name: str) -> None:
    """What is named by many is read once, and no list is gone through for each of another."""
    content, began = described({**DOCUMENT, **LABOURS[name]}), time.thread_time()
    assert verdict(check_glb, content) in {"", f"OutputBroken: The GLB of {len(content)} bytes {OVER}."}
    assert time.thread_time() - began < 2


OVER = "has arrays that lie over each other more than 4 times"
