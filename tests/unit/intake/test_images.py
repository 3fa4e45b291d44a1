"""What an image in a message may be, and how what it may not be is refused: by a sentence without the value."""

import base64
import io
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.intake.images import FORMATS, MAX_PIXELS, ImageInput, image_of, parse_image
from worker.rules.job import MAX_IMAGE_BYTES

MARKER = "m4rk3r"
NO_IMAGE = "is not an image that can be read (PNG, JPEG, WEBP, GIF, BMP, TIFF)"
TOO_MANY_PIXELS = "has more than 178 million pixels; send a smaller one"
MAGIC = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\x20\0\0\0WEBPVP8 ", b"GIF89a", b"BM", b"II*\0", b"MM\0*"]


def made(form: str, **more: object) -> bytes:
    """Return a small picture in a format."""
    out = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(out, form, **more)
    return out.getvalue()


def refusal(check: Callable[[Any], ImageInput], value: object) -> str:
    """Return why a value is refused, or nothing; anything but a refusal is a bug."""
    try:
        check(value)
    except ValueError as error:
        return str(error)
    return ""


def encoded(content: bytes) -> str:
    """Return base64 without line breaks."""
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_known_by_its_content(form: str) -> None:
    """The bytes say what an image is, not what it is called."""
    image = parse_image(encoded(made(form)))
    assert image == ImageInput(content=made(form), media_type=Image.MIME[form])


def test_a_photo_of_a_phone_is_a_jpeg() -> None:
    """Phones put a second picture (depth, gain map) behind the first; such a file is a JPEG all the same."""
    photo = made("MPO", save_all=True, append_images=[Image.new("L", (4, 3))])
    assert image_of(photo).media_type == "image/jpeg"


@pytest.mark.parametrize(
    "prefix",
    ["data:image/png;base64,", "data:image/png;charset=utf-8;base64,", "data:application/octet-stream;base64,"],
)
def test_data_uri(prefix: str, png: bytes) -> None:
    """The part before the comma is not trusted; the bytes are looked at."""
    assert parse_image(prefix + encoded(png)).content == png


@pytest.mark.parametrize(
    "value",
    [
        "data:image/png,",
        "data:,",
        "data:;base64,",
        "data:image/png;base64",
        "data:image/png;base64;",
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        "data:image/png;base64,aGVsbG8=",
        "data:" + "x" * 500 + "/png;base64,aGVsbG8=",
    ],
)
def test_other_data_uris_are_refused(value: str) -> None:
    """Only base64 of an image is read."""
    with pytest.raises(ValueError, match=r"^is "):
        parse_image(value)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", " \t"])
def test_base64_may_be_wrapped(form: str, ending: str) -> None:
    """Lines of 76 characters, as mail and many tools write them; base64 of a JPEG begins like a path."""
    text = base64.encodebytes(made(form)).decode().replace("\n", ending)
    assert parse_image(text).content == made(form)


@pytest.mark.parametrize("value", [None, 5, True, "", [], {}, b"bytes", 1.5])
def test_what_is_not_text_is_refused(value: object) -> None:
    """An image is text in a message."""
    with pytest.raises(ValueError, match=r"^must be an http\(s\) URL, a data URI or base64 text$"):
        parse_image(value)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/cat.png", "http://example.com:8080/a?b=c&d=%20#e", "HTTPS://EXAMPLE.COM/", "https://[::1]/x"],
)
def test_url_is_passed_on_as_it_is(url: str) -> None:
    """The vendor reads it, we never do."""
    assert parse_image(url) == ImageInput(url=url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/m4rk3r.png", "must be an http"),
        ("file:///etc/m4rk3r", "must be an http"),
        ("FILE:/etc/m4rk3r.png", "must be an http"),
        ("javascript:m4rk3r", "must be an http"),
        ("C:\\m4rk3r\\cat.png", "must be an http"),
        ("https://user:m4rk3r@example.com/cat.png", "must not hold a user name or password"),
        ("https://m4rk3r@example.com/cat.png", "must not hold a user name or password"),
        ("https://@example.com/m4rk3r", "must not hold a user name or password"),
        ("https:///m4rk3r.png", "is not a valid URL"),
        ("https:m4rk3r.png", "is not a valid URL"),
        ("https://m4rk3r example.com/", "is not a valid URL"),
        ("https://example.com/m4rk3r\n.png", "is not a valid URL"),
        ("https://example.com/m4rk3r\0", "is not a valid URL"),
        ("https://m4rk3ré.com/", "is not a valid URL"),
        ("https://example.com/m4rk3r\ud800", "is not a valid URL"),
        ("https://example.com:99999/m4rk3r", "URL"),
        ("https://[m4rk3r/", "URL"),
        ("https://example.com/m4rk3r" + "x" * 2048, "is not a valid URL"),
    ],
)
def test_other_urls_are_refused(url: str, why: str) -> None:
    """Only what the vendor can read without a secret; the sentence does not quote it."""
    with pytest.raises(ValueError, match=why) as refused:
        parse_image(url)
    assert MARKER not in str(refused.value)


@pytest.mark.parametrize(
    "path",
    ["/home/me/m4rk3r.png", "./m4rk3r.jpg", "../m4rk3r", "~/m4rk3r", "m4rk3r.JPEG", "photos/m4rk3r.webp", "/m4rk3r"],
)
def test_a_file_path_is_never_read(path: str) -> None:
    """A worker has no business with the sender's files; the sentence says what to do."""
    with pytest.raises(ValueError, match="looks like a file path; send the file's content") as refused:
        parse_image(path)
    assert MARKER not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["m4rk3r!", "m4rk3", "€m4rk3r", "m4rk3r\0", "-_-_", "m4rk3r\ud800", "not base64 m4rk3r at all."]
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    """Text that is no URL must be base64 in the usual alphabet, padded."""
    with pytest.raises(ValueError, match="neither an http") as refused:
        parse_image(text)
    assert MARKER not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM" * 9],
)
def test_what_is_not_an_image_is_refused(content: bytes) -> None:
    """So is one whose header is cut off."""
    assert refusal(image_of, content) == NO_IMAGE


@given(st.sampled_from(MAGIC), st.binary(max_size=200))
def test_no_header_breaks_the_check(magic: bytes, rest: bytes) -> None:
    """Whatever follows a good beginning, it is an image or refused."""
    assert refusal(image_of, magic + rest) in {"", NO_IMAGE, TOO_MANY_PIXELS}


@given(st.sampled_from(list(FORMATS)), st.integers(0, 60), st.binary(min_size=1, max_size=4))
def test_no_damage_breaks_the_check(form: str, place: int, bytes_: bytes) -> None:
    """A real file with a few other bytes in its header is an image or refused."""
    content = made(form)
    damaged = content[:place] + bytes_ + content[place + len(bytes_) :]
    assert refusal(image_of, damaged) in {"", NO_IMAGE, TOO_MANY_PIXELS}


@given(st.text("aZ09:/.\\@[]?#%+=,;~-_ \n\0é😀\ud800", max_size=80))
def test_no_text_breaks_the_check(text: str) -> None:
    """Whatever text comes, it is an image or refused by a sentence."""
    assert refusal(parse_image, text).partition(" ")[0] in {"", "is", "must", "looks"}


def test_ten_mebibytes_fit(png: bytes) -> None:
    """The limit itself is allowed."""
    assert parse_image(encoded(png.ljust(MAX_IMAGE_BYTES, b"\0"))).size == MAX_IMAGE_BYTES


def test_more_is_refused(png: bytes) -> None:
    """Just above it, and far above, where it is not even decoded."""
    assert refusal(image_of, png.ljust(MAX_IMAGE_BYTES + 1, b"\0")).startswith("is larger than 10 MiB")
    assert refusal(parse_image, "!" * 20 * 2**20).startswith("is larger than 10 MiB")


@pytest.mark.parametrize("pixels", [0, 1])
def test_a_picture_that_fills_a_memory_is_refused(pixels: int) -> None:
    """What is small here may unpack to gigabytes there; nobody who reads with Pillow would read it."""
    content = bytearray(made("BMP"))
    content[18:26] = struct.pack("<ii", MAX_PIXELS + pixels, 1)
    assert refusal(image_of, bytes(content)) == (TOO_MANY_PIXELS if pixels else "")


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_a_heic_is_refused_with_the_way_out(brand: bytes) -> None:
    """Whether the vendor reads it is not known, and a worker converts nothing."""
    content = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic"
    assert refusal(image_of, content).startswith("is a HEIC photo; send a JPEG, or use `sam3d submit`")


@pytest.mark.parametrize("value", ["A " * 5 * 2**20, "A" * 10 * 2**20, "a" * 10 * 2**20 + ":", "data:" + "x" * 2**23])
def test_megabytes_of_text_take_no_time(value: str) -> None:
    """A text is decoded in one go, or not at all; no pattern goes through it."""
    began = time.thread_time()
    refusal(parse_image, value)
    assert time.thread_time() - began < 0.25


def test_an_image_is_not_shown() -> None:
    """Neither bytes nor an address end up in a log."""
    assert MARKER not in repr(ImageInput(url=f"https://example.com/{MARKER}"))
    assert MARKER not in repr(ImageInput(content=MARKER.encode(), media_type="image/png"))
