"""What a worker would refuse, a producer sends otherwise: too large a photo, and a HEIC, as a JPEG; a word is said."""

import base64
import io
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageCms

from worker.errors import InvalidMessage
from worker.intake import fitting, prepare
from worker.intake.prepare import prepare_request
from worker.rules.job import MAX_IMAGE_BYTES

pillow_heif.register_heif_opener()

MARKER = "m4rk3r"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BOX = {"bounding_box": [1, 1, 5, 5]}


def made(form: str, mode: str = "RGB", colour: Any = "red", size: tuple[int, int] = (60, 40), **more: Any) -> bytes:
    """Return a picture with a white corner, left and above."""
    image = Image.new(mode, size, colour)
    if mode not in {"I;16", "P"}:
        image.paste("white", (0, 0, size[0] // 4, size[1] // 4))
    out = io.BytesIO()
    image.save(out, form, **more)
    return out.getvalue()


def padded(content: bytes) -> bytes:
    """Return it with so much behind it that it is too large; what is behind a picture is not looked at."""
    return content.ljust(MAX_IMAGE_BYTES + 1, b"\0")


def sent(photo: bytes | Path, **fields: Any) -> tuple[bytes, list[str]]:
    """Return what is sent of a photo, and what is said of it."""
    said: list[str] = []
    request = prepare_request(photo, tell=said.append, **fields)
    return base64.b64decode(request["image"]), said


def opened(content: bytes) -> Image.Image:
    """Return a picture that was sent, which is a JPEG within the limit."""
    assert len(content) <= MAX_IMAGE_BYTES
    image = Image.open(io.BytesIO(content))
    assert image.format == "JPEG"
    return image


def refusal(photo: bytes, **fields: Any) -> str:
    """Return why a photo is not sent."""
    with pytest.raises(InvalidMessage) as refused:
        sent(photo, **fields)
    return str(refused.value)


def test_what_fits_is_sent_byte_for_byte(png: bytes) -> None:
    """The limit itself does, and nothing is said."""
    content = png.ljust(MAX_IMAGE_BYTES, b"\0")
    assert sent(content) == (content, [])


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "MPO"])
def test_a_file_above_the_limit_is_sent_as_a_jpeg(form: str, tmp_path: Path) -> None:
    """As many pixels as it had, where they fit then."""
    path = tmp_path / "large"
    path.write_bytes(padded(made(form)))
    content, said = sent(path)
    assert opened(content).size == (60, 40)
    assert said == ["`image` was 10.0 MiB; it is sent as a JPEG of 60 x 40 pixels."]


def test_a_photo_of_very_many_pixels_is_scaled_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps, until it fits; its proportions stay."""
    monkeypatch.setattr(fitting, "MAX_IMAGE_BYTES", 100_000)
    monkeypatch.setattr(prepare, "MAX_IMAGE_BYTES", 100_000)
    noise = Image.frombytes("RGB", (900, 600), random.Random(7).randbytes(900 * 600 * 3))
    out = io.BytesIO()
    noise.save(out, "PNG")
    content, said = sent(out.getvalue())
    image = opened(content)
    assert 50_000 < len(content) <= 100_000
    assert image.width / image.height == pytest.approx(1.5, rel=0.01)
    sizes = f"{image.width} x {image.height} pixels, scaled down from 900 x 600"
    assert said == [f"`image` was 1.5 MiB; it is sent as a JPEG of {sizes}."]
    assert "larger than 10 MiB, and its mask, box or points are of its size" in refusal(out.getvalue(), **BOX)


@pytest.mark.parametrize(
    "fields", [BOX, {"point_coords": [[1, 1]]}, {"mask": made("PNG")}], ids=["box", "points", "mask"]
)
def test_what_names_pixels_names_the_same_ones(fields: dict[str, Any]) -> None:
    """A photo that need not be scaled down is sent with them."""
    assert opened(sent(padded(made("PNG")), **fields)[0]).size == (60, 40)


def test_a_photo_is_sent_upright() -> None:
    """Whoever looks at its tags, and whoever does not, sees the same: the white corner is above, right."""
    turned = Image.Exif()
    turned[0x0112] = 6
    content, _ = sent(padded(made("JPEG", exif=turned)))
    image = opened(content)
    assert image.size == (40, 60)
    assert image.getpixel((38, 1)) == pytest.approx((255, 255, 255), abs=9)
    assert image.getexif().get(0x0112, 1) == 1
    assert "is not upright, and its mask, box or points" in refusal(padded(made("JPEG", exif=turned)), **BOX)


def test_only_the_profile_of_its_colours_is_kept() -> None:
    """Where it was taken, and by what, is nobody's business."""
    tags = Image.Exif()
    tags[0x010F] = MARKER
    photo = made("JPEG", exif=tags, icc_profile=SRGB, comment=MARKER.encode(), xmp=MARKER.encode())
    content, _ = sent(padded(photo))
    assert opened(content).info["icc_profile"] == SRGB
    assert MARKER.encode() not in content


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (254, 0, 0)),
        ("LA", (0, 0), (255, 255, 255)),
        ("L", 0, (0, 0, 0)),
        ("1", 0, (0, 0, 0)),
        ("P", 0, (0, 0, 0)),
    ],
)
def test_what_can_be_seen_through_is_on_white(mode: str, colour: Any, seen: tuple[int, int, int]) -> None:
    """And no other colours come to light than were there."""
    content, _ = sent(padded(made("PNG", mode, colour)))
    assert opened(content).convert("RGB").getpixel((50, 30)) == pytest.approx(seen, abs=3)


@pytest.mark.parametrize(
    ("photo", "why"),
    [
        (padded(b"no picture"), "`image` is not an image that can be read"),
        (padded(made("PNG")[:60]), "`image` is not an image that can be read"),
        (padded(made("JPEG")[:400]), "`image` is not an image that can be read"),
        (padded(made("PNG", "I;16", 0)), "`image` is larger than 10 MiB; send a smaller one, or a URL."),
    ],
    ids=["text", "half a PNG", "half a JPEG", "16 bits"],
)
def test_what_can_not_be_unpacked_is_refused(photo: bytes, why: str) -> None:
    """In the same words as ever."""
    assert refusal(photo).startswith(why)


def test_a_file_without_an_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of it than a photo may have."""
    monkeypatch.setattr(prepare, "LARGEST_PHOTO", 11 * 2**20)
    path = tmp_path / "long.png"
    path.write_bytes(made("PNG").ljust(12 * 2**20, b"\0"))
    with pytest.raises(InvalidMessage, match="`image` is larger than 11 MiB; send a smaller one, or a URL"):
        prepare_request(path)


def test_a_mask_is_sent_as_it_is() -> None:
    """It is of the photo's size, so it is never changed."""
    assert refusal(made("PNG"), mask=padded(made("PNG"))).startswith("`mask` is larger than 10 MiB")


def test_a_heic_is_sent_as_a_jpeg() -> None:
    """As phones make it; a worker would refuse it."""
    content, said = sent(made("HEIF", size=(64, 48)), **BOX)
    image = opened(content)
    assert image.size == (64, 48)
    assert image.getpixel((1, 1)) == pytest.approx((255, 255, 255), abs=12)
    assert said == ["`image` was a HEIC; it is sent as a JPEG of 64 x 48 pixels."]


def test_a_heic_without_its_reader_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named, and what does without."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert refusal(made("HEIF")) == (
        "`image` is a HEIC photo, which needs the extra `heic`: pip install 'sam3d-worker[heic]', or send a JPEG."
    )


def test_half_a_heic_is_no_image() -> None:
    """Whatever its reader says of it."""
    assert refusal(made("HEIF")[:-30]).startswith("`image` is not an image that can be read")


def test_a_program_is_warned() -> None:
    """Whoever sends from Python hears of it too."""
    with pytest.warns(UserWarning, match="`image` was 10.0 MiB; it is sent as a JPEG"):
        prepare_request(padded(made("PNG")))


def test_nothing_is_imported_for_a_photo_that_fits(png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command starts at once."""
    monkeypatch.setitem(sys.modules, "worker.intake.fitting", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prepare_request(png)["image"]
