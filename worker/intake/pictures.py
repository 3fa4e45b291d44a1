"""Pure: what a picture is and how many pixels it has, by the few bytes that say so.

No image library looks at a stranger's picture: they read whatever its header leads to, which takes seconds.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

MOST_BLOCKS = 4096
"""Segments, chunks or tags that are passed on the way to the size; a profile of 16 MiB takes 255 of a JPEG's."""

Reader = Callable[[bytes], tuple[int, int]]


@dataclass(frozen=True)
class Picture:
    """What the header of a picture says."""

    media_type: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """How many it unpacks to."""
        return self.width * self.height


def recognise(content: bytes) -> Picture | None:
    """Read the header of a picture; None where it is none of a known format, or broken in its header."""
    for magic, (media_type, read) in MAGIC.items():
        if content.startswith(magic):
            try:
                width, height = read(content)
            except (struct.error, LookupError, ValueError):
                return None
            return Picture(media_type, width, height) if width > 0 and height > 0 else None
    return None


def is_heic(content: bytes) -> bool:
    """Tell a phone's HEIC photo by its brand (ISO/IEC 23008-12, 10.2)."""
    return content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS


_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def _unpack(form: str, content: bytes, at: int) -> tuple[Any, ...]:
    """Unpack what lies there; a place beyond any file is no other error than one beyond this one."""
    return struct.unpack(form, content[at : at + struct.calcsize(form)])


def _png(content: bytes) -> tuple[int, int]:
    """Read IHDR, and go on to the pixels, so that a file that ends before them is none."""
    length, kind, width, height, bits, colours, checksum = _unpack(">I4sIIBB3xI", content, 8)
    if (length, kind, checksum) != (13, b"IHDR", crc32(content[12:29])) or bits not in _BITS[colours]:
        raise ValueError
    at = 33
    for _ in range(MOST_BLOCKS):
        length, kind = _unpack(">I4s", content, at)
        if kind == b"IDAT":
            return width, height
        at += 12 + length
    raise ValueError


_BITS: Mapping[int, set[int]] = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""Bits of a sample for each type of colour (PNG specification, table 11.1)."""


def _jpeg(content: bytes) -> tuple[int, int]:
    """Pass the segments before the frame header; what is between two segments is passed as well."""
    at = 2
    for _ in range(MOST_BLOCKS):
        at = content.index(b"\xff", at) + 1
        marker = content[at]
        if marker in _FRAMES:
            bits, height, width, layers = _unpack(">BHHB", content, at + 3)
            if bits != 8 or layers not in {1, 3, 4}:
                break
            return width, height
        if marker in _ENDS:
            break
        if marker not in _WITHOUT_LENGTH:
            at += 1 + max(2, *_unpack(">H", content, at + 1))
    raise ValueError


_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x00, 0x01, 0xFF, *range(0xD0, 0xD9)}
_ENDS = {0xD9, 0xDA}


def _webp(content: bytes) -> tuple[int, int]:
    """Read the first chunk (RFC 9649): lossy, lossless or extended."""
    kind = content[8:16]
    if kind == b"WEBPVP8 " and content[23:26] == b"\x9d\x01\x2a":
        width, height = _unpack("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"WEBPVP8L" and content[20:21] == b"\x2f":
        (bits,) = _unpack("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8X":
        width, more_width, height, more_height = _unpack("<HBHB", content, 24)
        return width + (more_width << 16) + 1, height + (more_height << 16) + 1
    raise ValueError


def _gif(content: bytes) -> tuple[int, int]:
    """Read the screen's size, and see that a block follows the table of colours."""
    width, height, flags = _unpack("<HHB", content, 6)
    blocks_at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    if content[blocks_at] not in b"!,":
        raise ValueError
    return width, height


def _bmp(content: bytes) -> tuple[int, int]:
    """Read the header of either form; rows may be told from the top by a negative height."""
    (length,) = _unpack("<I", content, 14)
    form = {12: "<HHHH"}.get(length, "<iiHH")
    width, height, _, bits = _unpack(form, content, 18)
    if length not in {12, 40, 52, 56, 64, 108, 124} or bits not in {1, 4, 8, 16, 24, 32}:
        raise ValueError
    return width, abs(height)


def _tiff(content: bytes) -> tuple[int, int]:
    """Read the tags of the first picture alone: width and length are among their first (TIFF 6.0; BigTIFF)."""
    order = "<" if content[0] == ord("I") else ">"
    first, count, tag = _TIFF if 42 in content[2:4] else _BIG_TIFF
    (at,) = _unpack(order + first, content, 4 if first == "I" else 8)
    (tags,) = _unpack(order + count, content, at)
    at += struct.calcsize(count)
    found: dict[int, int] = {}
    for place in range(at, at + struct.calcsize(order + tag) * min(tags, MOST_BLOCKS), struct.calcsize(order + tag)):
        name, kind, _, value = _unpack(order + tag, content, place)
        if name in {_WIDTH, _LENGTH}:
            (found[name],) = _unpack(order + _INTEGERS[kind], value, 0)
        if len(found) == 2:
            return found[_WIDTH], found[_LENGTH]
    raise ValueError


_TIFF, _BIG_TIFF = ("I", "H", "HHI4s"), ("Q", "Q", "HHQ8s")
_WIDTH, _LENGTH = 256, 257
_INTEGERS: Mapping[int, str] = {3: "H", 4: "I", 16: "Q"}

MAGIC: Mapping[bytes, tuple[str, Reader]] = {
    b"\x89PNG\r\n\x1a\n": ("image/png", _png),
    b"\xff\xd8\xff": ("image/jpeg", _jpeg),  # Also a phone's, that holds more than one picture.
    b"RIFF": ("image/webp", _webp),
    b"GIF87a": ("image/gif", _gif),
    b"GIF89a": ("image/gif", _gif),
    b"BM": ("image/bmp", _bmp),
    b"II*\0": ("image/tiff", _tiff),
    b"MM\0*": ("image/tiff", _tiff),
    b"II+\0": ("image/tiff", _tiff),
    b"MM\0+": ("image/tiff", _tiff),
}
"""How pictures begin, and what reads on."""
