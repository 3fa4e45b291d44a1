"""Pure: the faces of a binary PLY, each a list of corners."""

from dataclasses import dataclass, replace

from worker.gate.arrays import Column, Source, extremes
from worker.gate.ply_header import TYPES, Element, Property
from worker.gate.unfit import require

CORNERS = (b"vertex_indices", b"vertex_index")

MOST_UNEQUAL = 2**17
"""Elements of unequal size that are read, each by itself, within a second; where there are more they are believed."""


@dataclass(frozen=True)
class Polygons:
    """How many triangles faces are cut into, None where that was not read, and where they end."""

    triangles: int | None
    ends_at: int


def read_polygons(source: Source, element: Element, place: int, corners: int) -> Polygons:
    """Read elements that have lists, of which the first is at a place, and which name so many corners.

    Raises:
        Unfit: they end too soon, or name corners that are not there.
    """
    if not element.count:
        return Polygons(0, place)
    if equal := _equal(source, element, place, corners):
        return equal
    return _each(source, element, place, corners) if element.count <= MOST_UNEQUAL else Polygons(None, source.length)


def _equal(source: Source, element: Element, place: int, corners: int) -> Polygons | None:
    """Read elements that all have as long a list as the first, as triangles have; None where they do not."""
    if len(element.lists) != 1:
        return None
    listed = element.lists[0]
    length, start = _length(source, element, listed, place + element.before(listed))
    stride = element.size + length * TYPES[listed.kind][1]
    ends_at = place + stride * element.count
    lengths = element.spread(source, place + element.before(listed), stride, listed.length or b"")
    if ends_at > source.length or any(set(lengths.numbers(each)) != {length} for each in lengths.pieces()):
        return None
    if listed.name not in CORNERS:
        return Polygons(0, ends_at)
    for corner in range(length):
        at = start + corner * TYPES[listed.kind][1]
        _require_corners(element.spread(source, at, stride, listed.kind), corners)
    return Polygons(max(0, length - 2) * element.count, ends_at)


def _each(source: Source, element: Element, place: int, corners: int) -> Polygons:
    """Read elements one by one."""
    triangles = 0
    for _ in range(element.count):
        for each in element.properties:
            if each.length is None:
                place += TYPES[each.kind][1]
                continue
            length, place = _length(source, element, each, place)
            size = TYPES[each.kind][1]
            if each.name in CORNERS and length:
                _require_corners(replace(element, count=length).spread(source, place, size, each.kind), corners)
                triangles += max(0, length - 2)
            place += length * size
        require(place <= source.length, "ends within a face")
    return Polygons(triangles, place)


def _length(source: Source, element: Element, listed: Property, place: int) -> tuple[int, int]:
    """Return how long a list is, and where it begins."""
    kind = listed.length or b""
    low, _ = extremes(replace(element, count=1).spread(source, place, TYPES[kind][1], kind))
    require(low >= 0, "has a list of less than nothing")
    return int(low), place + TYPES[kind][1]


def _require_corners(column: Column, corners: int) -> None:
    low, high = extremes(column)
    require(low >= 0 and high < corners, f"names corner {high if low >= 0 else low:.0f} of {corners}")
