"""Pure: columns of numbers in a file, looked at piece by piece, so that a large one takes little memory and time."""

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from worker.gate.unfit import require

PIECE = 2**18
"""Bytes that are looked at at a time."""

MOST_COMPARED = 2**21
"""Numbers of a column that are compared; of a longer one every second is, or every third, and so on.

A million take 0.15 s of CPU. What is no finite number is found among all: that takes a hundredth.
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
        return array(self.code).itemsize

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


def extremes(column: Column) -> tuple[float, float]:
    """Return the least and the largest number of a column.

    Raises:
        Unfit: one is not finite, or the file ends.
    """
    step = -(-column.count // MOST_COMPARED)
    lows, highs = [], []
    for piece in column.pieces():
        require(column.code not in "fd" or _is_finite(column, piece), "has a position that is no finite number")
        values = column.numbers(piece, step)
        lows.append(min(values))
        highs.append(max(values))
    return min(lows), max(highs)


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
        largest = max(largest, int(max(column.numbers(piece))))
    require(not is_flat or column.count < 3, f"has {column.count} indices that are all {largest}")
    return largest
