"""Pure: the header of a PLY: its form, and what its elements are made of ("The PLY Polygon File Format", Turk 1994)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from worker.gate.arrays import Column, Source
from worker.gate.unfit import Unfit, require

LONGEST_HEADER = 64 * 2**10

FORMATS: Mapping[bytes, bool] = {b"ascii": False, b"binary_little_endian": False, b"binary_big_endian": True}
"""Whether numbers have their highest byte first."""

TYPES: Mapping[bytes, tuple[str, int]] = {
    b"char": ("b", 1), b"uchar": ("B", 1), b"short": ("h", 2), b"ushort": ("H", 2), b"int": ("i", 4), b"uint": ("I", 4),
    b"int8": ("b", 1), b"uint8": ("B", 1), b"int16": ("h", 2), b"uint16": ("H", 2), b"int32": ("i", 4),
    b"uint32": ("I", 4), b"float": ("f", 4), b"float32": ("f", 4), b"double": ("d", 8), b"float64": ("d", 8),
}  # fmt: skip
"""Type code and bytes, by both names of each."""

REAL = (b"float", b"float32", b"double", b"float64")
"""Types of a place."""


@dataclass(frozen=True)
class Property:
    """A number of an element, or a list of them, whose length is of the type ``length``."""

    name: bytes
    kind: bytes
    length: bytes | None = None


@dataclass(frozen=True)
class Element:
    """So many things that have the same properties."""

    name: bytes
    count: int
    is_big_endian: bool
    properties: tuple[Property, ...] = ()

    @property
    def lists(self) -> Sequence[Property]:
        """Those of its properties that have no fixed size."""
        return [each for each in self.properties if each.length]

    @property
    def size(self) -> int:
        """Bytes of one, without what is in its lists."""
        return sum(TYPES[each.length or each.kind][1] for each in self.properties)

    def before(self, which: Property) -> int:
        """Return how many bytes of one are before a property, which is before or is the first list."""
        return sum(TYPES[each.kind][1] for each in self.properties[: self.properties.index(which)])

    def spread(self, source: Source, place: int, stride: int, kind: bytes) -> Column:
        """Return a number of each, ``stride`` bytes from one to the next."""
        return Column(source, place, stride, self.count, TYPES[kind][0], self.is_big_endian)


def read_header(head: bytes) -> tuple[bool, Sequence[Element], int]:
    """Return whether a PLY is text, its elements, and where they begin.

    Raises:
        Unfit: it has no header that is known.
    """
    end = head.find(b"\nend_header")
    start = head.find(b"\n", end + 1) + 1
    require(end >= 0 and start and head[end:start].strip() == b"end_header", "has no end of its header")
    lines = [line.split() for line in head[:end].splitlines()[1:]]
    said = [words for words in lines if words and words[0] not in {b"comment", b"obj_info"}]
    match said:
        case [[b"format", form, b"1.0"], *others] if form in FORMATS:
            return form == b"ascii", _elements(others, is_big_endian=FORMATS[form]), start
    raise Unfit("is of no known format")


def _elements(lines: Sequence[Sequence[bytes]], *, is_big_endian: bool) -> Sequence[Element]:
    elements: list[Element] = []
    for line in lines:
        match line:
            case [b"element", name, count]:
                elements.append(Element(name, _count(count), is_big_endian))
            case [b"property", *words] if elements:
                last = elements.pop()
                elements.append(replace(last, properties=(*last.properties, _property(words))))
            case _:
                raise Unfit("has a line in its header that is none")
    return elements


def _count(word: bytes) -> int:
    require(word.isdigit() and len(word) < 16, "has a count that is no number")
    return int(word)


def _property(words: Sequence[bytes]) -> Property:
    match words:
        case [b"list", length, kind, name] if length in TYPES and kind in TYPES and length not in REAL:
            return Property(name, kind, length)
        case [kind, name] if kind in TYPES:
            return Property(name, kind)
    raise Unfit("has a property of no known type")
