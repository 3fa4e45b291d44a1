"""Pure: where the nodes of a glTF put its meshes (glTF 2.0, "Scenes", "Nodes and Hierarchy")."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from worker.gate.unfit import index, numbers, parts, require
from worker.rules.geometry import Box, Point

Frame = tuple[Point, Point, Point, Point]
"""Three axes and an origin."""

WORLD: Frame = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0))


def placements(document: Mapping[str, Any]) -> Iterator[tuple[int, Frame]]:
    """Give the number of each mesh that a scene shows, and its frame; without scenes that of each mesh, as it is.

    What is named is there, as ``scene`` has seen to.

    Raises:
        Unfit: a node has two parents, or is its own.
    """
    nodes, scenes, meshes = parts(document, "nodes"), parts(document, "scenes"), parts(document, "meshes")
    if not scenes:
        yield from ((number, WORLD) for number in range(len(meshes)))
    roots = dict.fromkeys(int(number) for scene in scenes for number in scene.get("nodes", ()))
    waiting, met = [(number, WORLD) for number in roots], set[int]()
    while waiting:
        number, outer = waiting.pop()
        require(number not in met, "has a node twice in its scenes")
        met.add(number)
        frame = _within(outer, _frame(nodes[number]))
        waiting += [(int(child), frame) for child in nodes[number].get("children", ())]
        if "mesh" in nodes[number]:
            yield index(nodes[number], "mesh", meshes), frame


def moved(box: Box, frame: Frame) -> Box:
    """Return the box around a box that was put into a frame."""
    if frame == WORLD:
        return box
    xs, ys, zs = zip(*[_put(frame, corner) for corner in product(*zip(*box, strict=True))], strict=True)
    return (min(xs), min(ys), min(zs)), (max(xs), max(ys), max(zs))


def _put(frame: Frame, point: Sequence[float]) -> Point:
    """Return where a point of a frame is."""
    (right, up, front, origin), (x, y, z) = frame, point
    rows = zip(right, up, front, origin, strict=True)
    first, second, third = (a * x + b * y + c * z + d for a, b, c, d in rows)
    return first, second, third


def _within(outer: Frame, inner: Frame) -> Frame:
    """Return a frame within another as one."""
    if inner == WORLD:
        return outer
    turned: Frame = (*outer[:3], (0.0, 0.0, 0.0))
    return _put(turned, inner[0]), _put(turned, inner[1]), _put(turned, inner[2]), _put(outer, inner[3])


def _frame(node: Mapping[str, Any]) -> Frame:
    """Return the frame of a node, from its matrix or from its translation, rotation and scale."""
    if matrix := numbers(node, "matrix", 16):
        right, up, front, origin = ((matrix[at], matrix[at + 1], matrix[at + 2]) for at in (0, 4, 8, 12))
        return right, up, front, origin
    x, y, z, w = numbers(node, "rotation", 4) or (0.0, 0.0, 0.0, 1.0)
    wide, high, deep = numbers(node, "scale", 3) or (1.0, 1.0, 1.0)
    at = numbers(node, "translation", 3) or (0.0, 0.0, 0.0)
    return (
        (wide * (1 - 2 * (y * y + z * z)), wide * 2 * (x * y + z * w), wide * 2 * (x * z - y * w)),
        (high * 2 * (x * y - z * w), high * (1 - 2 * (x * x + z * z)), high * 2 * (y * z + x * w)),
        (deep * 2 * (x * z + y * w), deep * 2 * (y * z - x * w), deep * (1 - 2 * (x * x + y * y))),
        (at[0], at[1], at[2]),
    )
