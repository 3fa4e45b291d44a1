"""Pure: what is in a model: its triangles, its corners, its box."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

Point = tuple[float, float, float]
Box = tuple[Point, Point]
"""The least and the largest of each coordinate."""


@dataclass(frozen=True)
class Geometry:
    """What is in a model, in its own units; None stands for what its file does not tell.

    ``bounds`` are those of very large models from an even sample (``worker/gate/arrays.py``).
    """

    triangles: int | None = None
    vertices: int | None = None
    bounds: Box | None = None
    has_colours: bool | None = None
    has_textures: bool | None = None
    splats: int | None = None

    def to_json(self) -> Mapping[str, Any]:
        """Return it as JSON has it, with lists for points."""
        return {**vars(self), "bounds": self.bounds and [list(corner) for corner in self.bounds]}


def box_of(axes: Iterable[tuple[float, float]]) -> Box:
    """Return a box from the least and the largest of each coordinate."""
    (x, right), (y, top), (z, front) = axes
    return (x, y, z), (right, top, front)


def around(boxes: Iterable[Box]) -> Box | None:
    """Return the box around boxes; None where there are none."""
    return reduce(_both, boxes, None)


def _both(one: Box | None, other: Box) -> Box:
    return other if one is None else (_each(min, one[0], other[0]), _each(max, one[1], other[1]))


def _each(choose: Any, one: Point, other: Point) -> Point:
    return choose(one[0], other[0]), choose(one[1], other[1]), choose(one[2], other[2])
