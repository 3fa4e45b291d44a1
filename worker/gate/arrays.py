"""Pure: columns of numbers in a file, looked at piece by piece, so that a large one takes little memory and time."""

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from worker.gate.unfit import require

PIECE = 2**18
"""Bytes that are looked at at a time."""

MOST_COMPARED = 2**21
"""Numbers of a column that are compared; of a longer one every second is, or every third, and so on.

A million doubles take 0.05 s of CPU, of all others a twentieth. What is no finite number is found among all.
"""


def read_at(content: BinaryIO, place: int, length: int) -> bytes:
    """Return the bytes at a place."""
    content.seek(place)
    return content.read(length)


@dataclass(frozen=True)
class Source:
    """A run of bytes in a file."""

    content: BinaryIO
    start: int
    length: int

    def read(self, place: int, length: int) -> bytes:
        """Return bytes at a place of the run."""
        return read_at(self.content, self.start + place, length)


@dataclass(frozen=True)
class Column:
    """Numbers of a kind (a type code of ``array``), ``stride`` bytes from one to the next."""

    source: Source
    place: int
    stride: int
    count: int
    code: str
    is_big_endian: bool = False

    @property
    def width(self) -> int:
        """Bytes of a number."""
        return _WIDTHS[self.code]

    def pieces(self) -> Iterator[bytes]:
        """Give the bytes from the first of a number to the last of one, so many numbers at a time."""
        rows = max(1, PIECE // self.stride)
        for first in range(0, self.count, rows):
            length = (min(rows, self.count - first) - 1) * self.stride + self.width
            piece = self.source.read(self.place + first * self.stride, length)
            require(len(piece) == length, f"ends {length - len(piece)} bytes too soon")
            yield piece

    def numbers(self, piece: bytes, step: int = 1) -> "array[float]":
        """Return each ``step``-th number of a piece."""
        values: array[float] = array(self.code)
        if self.stride == self.width and step == 1:
            values.frombytes(piece)
        else:
            packed = bytearray(self.width * len(piece[:: self.stride * step]))
            for at in range(self.width):
                packed[at :: self.width] = piece[at :: self.stride * step]
            values.frombytes(packed)
        if self.is_big_endian != (sys.byteorder == "big"):
            values.byteswap()
        return values


_WIDTHS = {code: array(code).itemsize for code in "bBhHiIfd"}


def extremes(column: Column) -> tuple[float, float]:
    """Return the least and the largest number of a column.

    Raises:
        Unfit: one is not finite, or the file ends.
    """
    step = -(-column.count // MOST_COMPARED)
    lows, highs = [], []
    for piece in column.pieces():
        require(column.code not in "fd" or _is_finite(column, piece), "has a position that is no finite number")
        low, high = _ends(column.numbers(piece, step))
        lows.append(low)
        highs.append(high)
    return min(lows), max(highs)


def _ends(values: "array[float]") -> tuple[float, float]:
    """Return the least and the largest of some numbers.

    Pillow finds them as the darkest and the brightest of a picture's points, in a twentieth of the time of ``min`` and
    ``max``, which make an object of each. Its whole numbers have a sign: where there are negative ones of a kind that
    has none, they are too large for it.
    """
    if form := _POINTS.get(values.typecode):
        from PIL import Image  # Whoever looks at no model does without: it takes longer to import than all of this.

        found: Any = Image.frombytes(form[0], (len(values), 1), values.tobytes(), "raw", form).getextrema()
        low, high = found
        if low >= 0 or values.typecode != "I":
            return low, high
    return min(values), max(values)


_POINTS = {"f": "F;32NF", "b": "I;8S", "B": "I;8", "h": "I;16NS", "H": "I;16N", "i": "I;32NS", "I": "I;32N"}
"""How Pillow calls points of a picture that are such numbers, as this machine writes them (its ``Unpack.c``)."""


def _is_finite(column: Column, piece: bytes) -> bool:
    """Tell whether all floats are finite, by the byte that has the most of their exponent; very large ones are not."""
    highest = piece[0 if column.is_big_endian else column.width - 1 :: column.stride]
    return b"\x7f" not in highest and b"\xff" not in highest


def largest_index(column: Column) -> int:
    """Return the largest of packed indices.

    Raises:
        Unfit: all are the same, or the file ends.
    """
    largest, first, is_flat = 0, b"", True
    for piece in column.pieces():
        first = first or piece[: column.width]
        is_flat = is_flat and piece == first * (len(piece) // column.width)
        largest = max(largest, int(_ends(column.numbers(piece))[1]))
    require(not is_flat or column.count < 3, f"has {column.count} indices that are all {largest}")
    return largest
