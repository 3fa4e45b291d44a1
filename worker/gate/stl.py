"""Pure: what is in an STL, binary or text: triangles, each with its three corners."""

from itertools import islice
from typing import BinaryIO

from worker.errors import OutputBroken
from worker.gate.arrays import Column, Source, extremes, read_at
from worker.gate.lines import MOST_LINES, Growing, point, rows
from worker.gate.unfit import Unfit, require, require_size
from worker.rules.geometry import Box, Geometry, box_of

HEADER, TRIANGLE, NUMBER = 84, 50, 4
"""Bytes of a binary STL: before its triangles, of each, and of a number."""

CORNERS = (12, 24, 36)
"""Where the corners of a triangle are; before them is its normal."""


def check_stl(content: BinaryIO, size: int) -> Geometry:
    """Return what is in an STL.

    Raises:
        OutputBroken: says what is wrong.
    """
    count = int.from_bytes(read_at(content, HEADER - 4, 4), "little")
    try:
        is_packed = size == HEADER + TRIANGLE * count and count
        bounds, triangles = (_packed(content, size), count) if is_packed else _written(content, size, count)
        require_size(bounds)
    except Unfit as error:
        raise OutputBroken(f"The STL of {size} bytes {error}.") from None
    corners = 3 * triangles if triangles is not None else None
    known = bounds if triangles is not None else None
    return Geometry(triangles, corners, known, has_colours=False, has_textures=False, splats=0)


def _packed(content: BinaryIO, size: int) -> Box:
    """Return the box around the triangles of a binary STL."""
    source, axes, count = Source(content, 0, size), [], (size - HEADER) // TRIANGLE
    for axis in range(3):
        places = (HEADER + at + axis * NUMBER for at in CORNERS)
        ends = [extremes(Column(source, place, TRIANGLE, count, "f")) for place in places]
        axes.append((min(low for low, _ in ends), max(high for _, high in ends)))
    return box_of(axes)


def _written(content: BinaryIO, size: int, count: int) -> tuple[Box, int | None]:
    """Return the box around the triangles of an STL that is text, and how many; None where not all was read."""
    is_text = read_at(content, 0, 5) == b"solid"
    require(is_text, f"has {count} triangles by its header, which take {HEADER + TRIANGLE * count} bytes")
    require(b"endsolid" in read_at(content, max(0, size - 512), 512), "has no end")
    box, lines = Growing(), rows(content)
    for words in islice(lines, MOST_LINES):
        if words[0] == b"vertex":
            box.take(point(words[1:]))
    is_all = next(lines, None) is None
    require(box.count and (box.count % 3 == 0 or not is_all), f"has {box.count} corners")
    return box.box, box.count // 3 if is_all else None
