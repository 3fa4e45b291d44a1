"""Pure: what is in a PLY, a mesh or gaussian splats: as many numbers as its header says, and where its corners are."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from worker.errors import OutputBroken
from worker.gate.arrays import Source, extremes, read_at
from worker.gate.lines import MOST_LINES, Growing, point, rows
from worker.gate.ply_header import LONGEST_HEADER, REAL, Element, read_header
from worker.gate.polygons import read_polygons
from worker.gate.unfit import Unfit, require, require_size
from worker.rules.geometry import Box, Geometry, box_of

AXES = (b"x", b"y", b"z")

SPLAT = frozenset([b"f_dc_0", b"opacity", b"scale_0"])
"""What a gaussian has and a corner has not."""

COLOURS = frozenset([b"red", b"green", b"blue"])


def check_ply(content: BinaryIO, size: int) -> Geometry:
    """Return what is in a PLY.

    Raises:
        OutputBroken: says what is wrong.
    """
    try:
        is_text, elements, start = read_header(read_at(content, 0, LONGEST_HEADER))
        vertices = _vertices(elements)
        if is_text:
            bounds, triangles = _written(rows(content, start), elements)
        else:
            bounds, triangles = _packed(Source(content, start, size - start), elements, vertices)
        require_size(bounds)
        is_all = not is_text or sum(each.count for each in elements) <= MOST_LINES
    except Unfit as error:
        raise OutputBroken(f"The PLY of {size} bytes {error}.") from None
    names = {each.name for each in vertices.properties}
    is_splat = names >= SPLAT
    return Geometry(
        triangles=triangles if is_all else None,
        vertices=0 if is_splat else vertices.count,
        bounds=bounds if is_all else None,
        has_colours=is_splat or names >= COLOURS,
        has_textures=False,
        splats=vertices.count if is_splat else 0,
    )


def _vertices(elements: Sequence[Element]) -> Element:
    """Return the corners, or the gaussians."""
    found = [each for each in elements if each.name == b"vertex"]
    if len(found) != 1 or not found[0].count:
        raise Unfit("has no vertex")
    kinds = {each.name: each.kind for each in found[0].properties if not each.length}
    require(all(kinds.get(axis) in REAL for axis in AXES), "has vertices without x, y and z as floats")
    require(len(kinds) == len(found[0].properties), "has a list in its vertices, or two numbers of one name")
    return found[0]


def _written(lines: Iterator[Sequence[bytes]], elements: Sequence[Element]) -> tuple[Box, int | None]:
    """Read a PLY that is text: a line an element; of a very long one the rest is believed."""
    box, triangles, left = Growing(), 0, MOST_LINES
    for element in elements:
        names, taken = [each.name for each in element.properties], 0
        axes = [names.index(axis) for axis in AXES] if element.name == b"vertex" else []
        for number, words in enumerate(islice(lines, min(element.count, left)), 1):
            if len(words) < len(names):
                raise Unfit(f"has a line of {len(words)} numbers, not of {len(names)}")
            if axes:
                box.take(point([words[axis] for axis in axes]))
            taken = number
            triangles += _cut(words) if element.name == b"face" else 0
        require(taken == min(element.count, left), f"has {taken} lines of an element of {element.count}")
        left -= taken
    require(not left or next(lines, None) is None, "goes on behind its last element")
    return box.box, triangles


def _cut(words: Sequence[bytes]) -> int:
    """Return how many triangles a face is cut into."""
    count = int(words[0]) if words[0].isdigit() and len(words[0]) < 10 else 0
    if not 3 <= count < len(words):
        raise Unfit(f"has a face of {count} corners in a line of {len(words)} numbers")
    return count - 2


def _packed(source: Source, elements: Sequence[Element], vertices: Element) -> tuple[Box, int | None]:
    """Read a PLY that is binary: it has as many bytes as its elements take."""
    place, first = 0, 0
    triangles: int | None = 0
    for element in elements:
        first = place if element is vertices else first
        if element.lists:
            polygons = read_polygons(source, element, place, vertices.count)
            triangles = polygons.triangles if element.name == b"face" else triangles
            place = polygons.ends_at
        else:
            place += element.size * element.count
        require(place <= source.length, f"has {source.length} bytes behind its header, of {place} or more")
    require(place == source.length, f"has {source.length} bytes behind its header, of {place}")
    return _around(source, vertices, first), triangles


def _around(source: Source, vertices: Element, first: int) -> Box:
    """Return the box around corners, of which the first is at a place."""
    named = {each.name: each for each in vertices.properties}
    axes = [named[axis] for axis in AXES]
    columns = [vertices.spread(source, first + vertices.before(each), vertices.size, each.kind) for each in axes]
    return box_of(map(extremes, columns))
