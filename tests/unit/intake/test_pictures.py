"""What a picture is by its header: the same that Pillow says of good ones, in no time whatever comes."""

import io
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from PIL import Image, ImageCms

from worker.intake.images import image_of
from worker.intake.pictures import MAGIC, recognise
from worker.rules.job import MAX_IMAGE_BYTES

BUDGET = 0.05
"""Seconds of CPU that any picture may take."""

NOISE = random.Random(7).randbytes(600_000)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def made(form: str, mode: str = "RGB", size: tuple[int, int] = (70, 41), **more: Any) -> bytes:
    """Return a picture that Pillow makes."""
    out = io.BytesIO()
    Image.new(mode, size).save(out, form, **more)
    return out.getvalue()


MORE: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (70, 41), "red")]}
VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK", "YCbCr")),
    *(("GIF", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "F")),
    *(("WEBP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (True, False)),
    *((form, "RGB", MORE) for form in ("GIF", "WEBP", "PNG", "TIFF", "MPO")),
    *(("TIFF", "RGB", {"compression": how}) for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
    ("TIFF", "RGB", {"big_tiff": True}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "RGB", {"quality": 100, "subsampling": 0, "dpi": (72, 72), "comment": b"hello"}),
]


@pytest.mark.parametrize(("form", "mode", "options"), VARIANTS, ids=range(len(VARIANTS)))
def test_a_picture_of_pillows_is_recognised(form: str, mode: str, options: dict[str, Any]) -> None:
    """Its format and its size are what Pillow reads; a phone's MPO is a JPEG."""
    content = made(form, mode, **options)
    with Image.open(io.BytesIO(content)) as image:
        media_type, size = Image.MIME[image.format or ""], image.size
    found = recognise(content)
    assert found is not None
    assert (found.media_type, (found.width, found.height)) == (media_type.replace("mpo", "jpeg"), size)


@pytest.mark.parametrize("path", sorted(Path("worker/photos").glob("*.[pj]*g")), ids=str)
def test_the_photos_of_the_demo_are_recognised(path: Path) -> None:
    """Real ones, as cameras and programs write them."""
    assert image_of(path.read_bytes()).media_type in {"image/png", "image/jpeg"}


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc32(kind + content))


PNG = made("PNG")
JPEG = made("JPEG")
LARGE: dict[str, Callable[[], bytes]] = {
    "JPEG with a profile of 500 KiB": lambda: made("JPEG", icc_profile=SRGB + NOISE[:500_000]),
    "JPEG with a thumbnail in its EXIF": lambda: made("JPEG", exif=EXIF + NOISE[:65_000]),
    "JPEG with 150 segments of a maker's": lambda: JPEG[:2] + (b"\xff\xe4\xff\xff" + NOISE[:65_533]) * 150 + JPEG[2:],
    "JPEG with filled markers": lambda: JPEG[:2] + b"\xff" * 500 + JPEG[2:],
    "PNG with a profile of 500 KiB": lambda: made("PNG", icc_profile=SRGB + NOISE[:500_000]),
    "PNG with a profile of 2 MiB": lambda: PNG[:33] + chunk(b"iCCP", NOISE * 4) + PNG[33:],
    "PNG with 2 MiB of EXIF": lambda: PNG[:33] + chunk(b"eXIf", NOISE * 4) + PNG[33:],
    "PNG with 1,000 texts": lambda: PNG[:33] + chunk(b"tEXt", b"a\0b") * 1000 + PNG[33:],
    "WEBP with a profile": lambda: made("WEBP", icc_profile=SRGB + NOISE[:500_000], exif=EXIF),
    "TIFF with a profile": lambda: made("TIFF", icc_profile=SRGB + NOISE[:500_000]),
    "a phone's MPO": lambda: made("MPO", save_all=True, append_images=[Image.new("L", (9, 9))], exif=EXIF),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_in_a_photo_beside_it_does_not_matter(name: str) -> None:
    """Profiles, previews and texts are passed by their length."""
    content = LARGE[name]()
    assert image_of(content).content == content


def filled(head: bytes, block: bytes, tail: bytes = b"") -> bytes:
    """Return ten mebibytes of a block, repeated."""
    return (head + block * ((MAX_IMAGE_BYTES - len(head) - len(tail)) // len(block)) + tail)[:MAX_IMAGE_BYTES]


def tiff(entries: int, first: int = 8, tag: int = 282, number: int = 1_000_000) -> bytes:
    """Return a TIFF of tags that say they have very many values."""
    tags = struct.pack("<HHII", tag, 5, number, 26) * entries
    return b"II*\0" + struct.pack("<IH", first, entries) + tags


def grey(*more: tuple[int, int, int, int]) -> bytes:
    """Return a TIFF of one grey pixel, with more tags, that lie behind 512 bytes."""
    tags = sorted([*((name, 3, 1, 1) for name in (256, 257, 259, 262, 277, 278)), (258, 3, 1, 8), *more])
    return (tiff(len(tags))[:10] + b"".join(struct.pack("<HHII", *tag) for tag in tags)).ljust(512, b"\0")


HOSTILE: dict[str, Callable[[], bytes]] = {
    "JPEG of empty segments": lambda: filled(b"\xff\xd8", b"\xff\xe1\0\2"),
    "JPEG of EXIF segments": lambda: filled(b"\xff\xd8", b"\xff\xe1\0\x08Exif\0\0"),
    "JPEG of fills": lambda: filled(b"\xff\xd8", b"\xff"),
    "JPEG of junk": lambda: filled(b"\xff\xd8\xff", b"\0"),
    "JPEG of stuffed bytes": lambda: filled(b"\xff\xd8", b"\xff\0"),
    "JPEG of restarts": lambda: filled(b"\xff\xd8", b"\xff\xd0"),
    "JPEG of starts": lambda: filled(b"\xff\xd8", b"\xff\xd8"),
    "JPEG of large segments": lambda: filled(b"\xff\xd8", b"\xff\xe1\xff\xff" + bytes(65_533), JPEG[2:]),
    "MPO of many": lambda: filled(JPEG[:2], b"\xff\xe2\0\x0cMPF\0II*\0\xff\xff\xff\xff"),
    "PNG of chunks": lambda: filled(PNG[:33], chunk(b"aaAa")),
    "PNG of texts": lambda: filled(PNG[:33], chunk(b"zTXt", b"a\0\0" + bytes(20))),
    "PNG of one chunk": lambda: filled(PNG[:33] + b"\xff\xff\xff\xffzTXt", b"\0"),
    "PNG of profiles": lambda: filled(PNG[:33], chunk(b"iCCP", b"a\0\0" + bytes(20))),
    "TIFF of rationals": lambda: filled(grey((282, 5, 1_000_000, 512)), b"\1\0\0\0\3\0\0\0"),
    "TIFF of tags": lambda: filled(tiff(65_535), b"\0"),
    "TIFF of sizes of another type": lambda: filled(tiff(65_535, tag=256), b"\0"),
    "TIFF that leads to itself": lambda: tiff(0) + struct.pack("<I", 8),
    "TIFF that begins nowhere": lambda: filled(tiff(1, first=2**32 - 1), b"\0"),
    "BigTIFF of tags": lambda: filled(b"MM\0+\0\x08\0\0" + struct.pack(">QQ", 16, 2**64 - 1), b"\1\1\0\1" + bytes(16)),
    "BigTIFF that begins nowhere": lambda: b"II+\0\x08\0\0\0" + b"\xff" * 16,
    "GIF of extensions": lambda: filled(b"GIF89a\x08\0\x06\0\0\0\0", b"!\xfe\1x\0"),
    "GIF of comments": lambda: filled(b"GIF89a\x08\0\x06\0\0\0\0!\xfe", b"\1x"),
    "WEBP of chunks": lambda: filled(b"RIFF\xff\xff\xff\x7fWEBPVP8X\x0a\0\0\0" + bytes(10), b"EXIF\0\0\0\0"),
    "WEBP of others": lambda: filled(b"RIFF\xff\xff\xff\x7fWEBP", b"EXIF\0\0\0\0"),
    "BMP of an odd header": lambda: filled(b"BM" + bytes(12), b"\xff\xff\xff\x7f"),
    **{f"{magic!r} of noise": lambda magic=magic: filled(magic, NOISE) for magic in MAGIC},  # type: ignore[misc]
    **{f"{magic!r} of ones": lambda magic=magic: filled(magic, b"\xff") for magic in MAGIC},  # type: ignore[misc]
    **{f"{magic!r} of zeros": lambda magic=magic: filled(magic, b"\0") for magic in MAGIC},  # type: ignore[misc]
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_picture_takes_long(name: str) -> None:
    """Seconds of one were seconds of all, with the lock that every thread waits for."""
    content = HOSTILE[name]()
    began = time.thread_time()
    try:
        image_of(content)
    except ValueError as error:
        assert "that can be read" in str(error) or "pixels" in str(error)  # noqa: PT017
    assert time.thread_time() - began < BUDGET


class Counted(bytes):
    """Bytes that count how often, and how many of them, are looked at."""

    looks = taken = 0

    def __getitem__(self, key: Any) -> Any:
        """Count a look."""
        found = super().__getitem__(key)
        self.looks += 1
        self.taken += len(found) if isinstance(found, bytes) else 1
        return found


@pytest.mark.parametrize("name", HOSTILE)
def test_few_bytes_are_read(name: str) -> None:
    """Whatever a machine's speed: no more than some thousand looks, and less than 128 KiB in all."""
    content = Counted(HOSTILE[name]())
    recognise(content)
    assert content.looks < 10_000
    assert content.taken < 128 * 2**10


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_beginning_alone_is_no_picture(form: str) -> None:
    """An upload that broke off before its header was whole."""
    content = made(form)
    header = content.index(b"\xff\xc0") + 10 if form == "JPEG" else 13
    assert [length for length in range(header) if recognise(content[:length])] == []


@pytest.mark.parametrize(
    "content",
    [
        made("JPEG")[:2] + b"\xff\xd9" + made("JPEG")[2:],
        PNG[:33],
        PNG[:16] + b"\0\0\0\0" + PNG[20:],
        made("BMP")[:18] + bytes(8) + made("BMP")[26:],
        b"RIFF\x0c\0\0\0WAVEfmt \0\0\0\0",
        b"RIFF\x0c\0\0\0WEBPABCD\0\0\0\0",
        b"GIF89a\x08\0\x06\0\0\0\0",
        b"GIF89a\x08\0\x06\0\0\0\0;",
    ],
    ids=range(8),
)
def test_a_header_without_a_picture_is_none(content: bytes) -> None:
    """An end before the frame, no pixels, a sum that is wrong, another kind of file."""
    assert recognise(content) is None
