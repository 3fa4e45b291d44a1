"""Pictures beside models; what can't be drawn costs no file."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
import trimesh as typed_trimesh
from PIL import Image

from worker.cli.previews import THUMBNAIL, thumbnail, with_previews

trimesh: Any = typed_trimesh  # Much of it has no types.


def test_each_glb_gets_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under its own name; of one that is broken is said why, and other files are let be."""
    good, bad, other = (tmp_path / name for name in ("model.glb", "model-2.glb", "artifacts.zip"))
    good.write_bytes(trimesh.creation.box().export(file_type="glb"))
    bad.write_bytes(b"glTF\x02\x00\x00\x00\x1b]0;")
    assert with_previews([good, bad, other]) == [good, bad, other, tmp_path / "model.png"]
    with Image.open(tmp_path / "model.png") as picture:
        assert picture.format == "PNG"
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{bad}: no picture of it: ")
    assert "\x1b" not in printed.err


def encoded(size: tuple[int, int], kind: str, **more: Any) -> str:
    """Return a picture as a message carries it."""
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, kind, **more)
    return base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_shown_small(kind: str) -> None:
    """As far as its edges go."""
    made = thumbnail(encoded((1800, 900), kind))
    assert made
    with Image.open(io.BytesIO(made)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (THUMBNAIL[0], THUMBNAIL[0] // 2))


def test_a_photo_is_shown_upright() -> None:
    """As its camera meant it."""
    turned = Image.Exif()
    turned[0x0112] = 6
    made = thumbnail(encoded((30, 20), "JPEG", exif=turned))
    assert made
    with Image.open(io.BytesIO(made)) as picture:
        assert picture.size == (20, 30)


@pytest.mark.parametrize("image", ["https://photos.example/cup.jpg", "bm8gcGljdHVyZQ==", ""])
def test_what_is_no_photo_is_not_shown(image: str) -> None:
    """At an address, or none at all."""
    assert thumbnail(image) is None
