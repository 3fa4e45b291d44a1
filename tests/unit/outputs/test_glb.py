"""A GLB is kept if it is whole, whoever wrote it."""

import json
import struct
import time
from typing import Any

import numpy as np
import pytest
import trimesh as typed_trimesh

from tests.support.containers import BIN, BUDGET, DOCUMENT, described, glb, verdict
from worker.outputs.glb import check_glb
from worker.outputs.zips import check_zip
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


GOOD = {
    "JSON alone": glb((b"JSON", json.dumps(DOCUMENT).encode())),
    "both": described(DOCUMENT),
    "an unknown chunk behind": glb((b"JSON", json.dumps(DOCUMENT).encode()), BIN, (b"XTRA", b"")),
    "no data, and an unknown chunk": glb((b"JSON", json.dumps(DOCUMENT).encode()), (b"XTRA", b"1234")),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_sound_glb_is_kept(name: str) -> None:
    """Chunks of other kinds are for those who know them (glTF 2.0, "Chunks")."""
    assert verdict(check_glb, GOOD[name]) == ""


BROKEN = {
    "a header alone": glb(),
    "half a chunk's header": glb() + b"1234",
    "noise": glb() + bytes(range(200)),
    "an end within the JSON": described(DOCUMENT)[:40],
    "an end within the data": described(DOCUMENT)[:-1],
    "a byte too many": described(DOCUMENT) + b"\0",
    "a chunk longer than all": glb() + struct.pack("<I4s", 2**32 - 1, b"JSON"),
    "data first": glb(BIN, (b"JSON", b"{}")),
    "two of JSON": glb((b"JSON", json.dumps(DOCUMENT).encode()), (b"JSON", b"{}")),
    "data twice": glb((b"JSON", json.dumps(DOCUMENT).encode()), BIN, BIN),
    "no JSON": glb((b"JSON", b"oops")),
    "empty JSON": glb((b"JSON", b"")),
    "JSON in another writing": glb((b"JSON", b"\xff\xfe{\0")),
    "deep JSON": glb((b"JSON", b'{"asset":' * 10_000)),
    "JSON of many parts": glb((b"JSON", b"[" + b"{}," * 4_000_000 + b"{}]")),
    "a list": described([DOCUMENT]),
    "no asset": described({"scenes": []}),
    "an asset that is none": described({"asset": "2.0"}),
    "no version": described({"asset": {"generator": "x"}}),
    "a version that is none": described({"asset": {"version": 2}}),
    "very many chunks": glb((b"JSON", json.dumps(DOCUMENT).encode()), *[(b"XTRA", b"")] * 100_000),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_glb_is_told(name: str) -> None:
    """It is fetched again, and its job fails if it stays so; in no time, and in little memory."""
    content, began = BROKEN[name], time.thread_time()
    assert verdict(check_glb, content).startswith(f"OutputBroken: The GLB of {len(content)} bytes ")
    assert time.thread_time() - began < BUDGET
