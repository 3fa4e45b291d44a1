"""Further outputs are of the kind that their names say."""

import io
import json
import zipfile

import pytest
from PIL import Image

from worker.simulator.extras import extra_file, key_of


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("splat.ply", b"ply\n"),
        ("scene.obj", b"v 0.0"),
        ("poses.json", b"{"),
        ("preview.png", b"\x89PNG"),
        ("model.usdz", b"PK"),
        ("notes.txt", b"made by"),
        ("notes.bin", b"\x00"),
    ],
)
def test_contents_are_of_their_kind(name: str, begins: bytes) -> None:
    """Each begins as its kind does, the same bytes each time."""
    content, media_type = extra_file(name)
    assert content.startswith(begins)
    assert "/" in media_type
    assert extra_file(name)[0] == content


def test_contents_can_be_read() -> None:
    """What has a reader here is read."""
    assert json.loads(extra_file("poses.json")[0])["poses"]
    assert Image.open(io.BytesIO(extra_file("preview.png")[0])).size == (1, 1)
    assert zipfile.ZipFile(io.BytesIO(extra_file("model.usdz")[0])).namelist() == ["scene.usda"]


def test_keys_are_stems_unless_taken() -> None:
    """Two files never share a key."""
    assert key_of("splat.ply", set()) == "splat"
    assert key_of("model.usdz", {"model"}) == "model.usdz"
