"""Pictures beside models; what can't be drawn costs no file."""

import base64
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trimesh as typed_trimesh
from PIL import Image

from tests.support.services.zygote import inherited
from worker.cli.previews import THUMBNAIL, show, thumbnail, with_previews

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


@pytest.mark.parametrize(
    ("depth", "size", "is_shown"), [("truecolor", (24, 80), True), ("truecolor", (0, 0), False), ("", (24, 80), False)]
)
def test_a_terminal_that_can_shows_a_picture(tmp_path: Path, depth: str, size: tuple[int, int], is_shown: bool) -> None:
    """One of few colours shows none, nor does one that has no size; neither is an error."""
    picture = tmp_path / "red.png"
    Image.new("RGB", (8, 8), (200, 30, 30)).save(picture)
    written = on_a_terminal(picture, {"TERM": "xterm", "COLORTERM": depth}, size)
    assert (b"38;2;200;30;30" in written) is is_shown


def on_a_terminal(picture: Path, environment: dict[str, str], size: tuple[int, int]) -> bytes:
    """Show a picture on a terminal that answers no question, and return what was written there."""
    code = "import sys; from pathlib import Path; from worker.cli.previews import show; show(Path(sys.argv[1]))"
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *size, size[1] * 10, size[0] * 20))  # With its pixels.
    command = [sys.executable, "-c", code, str(picture)]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env={**inherited(), **environment}) as started:
        os.close(its)
        written = b""
        with suppress(OSError):  # So a terminal ends whose last program has gone.
            while found := os.read(ours, 65536):
                written += found
        assert started.wait(timeout=60) == 0
    os.close(ours)
    return written


def test_no_terminal_shows_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file gets no picture in colours."""
    picture = tmp_path / "red.png"
    Image.new("RGB", (8, 8), (200, 30, 30)).save(picture)
    show(picture)
    assert capfd.readouterr() == ("", "")
