"""Inflation: a silhouette becomes a closed, smooth, outward-facing surface with the photo's side to +Z."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .model import Field

Floats = NDArray[np.float32]
Indices = NDArray[np.uint32]

_INSIDE = 0.5
_COARSEST = 12
_FINER = 3  # odd, so that the middle of three fine points is the grid point


@dataclass(frozen=True)
class Surface:
    """A triangle mesh, one row for each vertex or triangle. The longest side of the photo is 1.0 long."""

    positions: Floats
    normals: Floats
    coordinates: Floats  # texture coordinates, origin at the photo's top left
    triangles: Indices


def inflate(silhouette: Field, fullness: float) -> Surface:
    """Raise the silhouette to a cushion; `fullness` 1.0 makes a ball of a disc.

    Front and back share the vertices of the outline and nothing else, so each edge has exactly two triangles.
    """
    field = np.pad(silhouette, 1)
    inside = field > _INSIDE
    height = _height(field) * fullness
    places, corner_ids, edge_ids = _vertices(field, inside)
    lift = np.zeros(len(places), np.float32)
    lift[corner_ids[inside]] = height[inside]
    back_count = int(inside.sum())
    flat = _placed(places, silhouette.shape)
    scale = 1.0 / max(silhouette.shape)
    front = np.column_stack([flat, lift * scale])
    back = np.column_stack([flat[:back_count], -0.7 * lift[:back_count] * scale])
    slots = _slots(corner_ids, edge_ids)
    faces = _triangles(inside, slots)
    behind = np.where(faces < back_count, faces + len(places), faces)[:, ::-1]
    positions = np.concatenate([front, back]).astype(np.float32)
    triangles = np.concatenate([faces, behind]).astype(np.uint32)
    return Surface(
        positions, _normals(positions, triangles), _projected(places, silhouette.shape, back_count), triangles
    )


def _height(field: Field) -> Floats:
    """Return how high each grid point lies, in steps of the grid.

    Computed on a finer grid, or the rim would follow the stairs of this one.
    """
    size = (field.shape[1] * _FINER, field.shape[0] * _FINER)
    fine = np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR))
    film = _membrane(fine > _INSIDE)[_FINER // 2 :: _FINER, _FINER // 2 :: _FINER]
    return np.asarray(np.sqrt(film) / _FINER, np.float32)


def _membrane(inside: NDArray[np.bool_]) -> Floats:
    """Solve Poisson's equation with zero outside: a soap film under pressure, (R² - r²) on a disc.

    From coarse to fine, with a few sweeps on each level.
    """
    shapes = [(inside.shape[0], inside.shape[1])]
    while min(shapes[-1]) > _COARSEST:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    film = np.zeros(shapes[-1], np.float32)
    for shape in reversed(shapes):
        room = np.asarray(cv2.resize(inside.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA))
        zoom = (shape[0] / film.shape[0]) ** 2
        film = np.asarray(cv2.resize(film, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32) * zoom
        film = _relaxed(film, (room > _INSIDE).astype(np.float32))
    return film


def _relaxed(film: Floats, room: Floats) -> Floats:
    """Sweep a level until it is as good as settled."""
    around = np.array([[0, 0.2, 0], [0.2, 0.2, 0.2], [0, 0.2, 0]], np.float32)
    for _ in range(60):
        film = (np.asarray(cv2.filter2D(film, -1, around, borderType=cv2.BORDER_CONSTANT)) + 0.8) * room
    return film


def _vertices(
    field: Field, inside: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.int64], tuple[NDArray[np.int64], ...]]:
    """Assign numbers to the grid points inside, then to the outline's crossings of the grid.

    Return their places, (column, row) on the padded grid, then the corners' and the edges' numbers.
    """
    corners = np.full(field.shape, -1, np.int64)
    corners[inside] = np.arange(inside.sum())
    places = [np.argwhere(inside)[:, ::-1].astype(np.float32)]
    edges = []
    next_id = int(inside.sum())
    for axis in (1, 0):
        near, far = _ends(field, axis)
        crossed = (near > _INSIDE) != (far > _INSIDE)
        part = np.clip((_INSIDE - near[crossed]) / (far[crossed] - near[crossed]), 0.05, 0.95)
        at = np.argwhere(crossed)[:, ::-1].astype(np.float32)
        at[:, 1 - axis] += part
        ids = np.full(crossed.shape, -1, np.int64)
        ids[crossed] = np.arange(next_id, next_id + len(at))
        next_id += len(at)
        places.append(at)
        edges.append(ids)
    return np.concatenate(places), corners, tuple(edges)


def _ends(field: Field, axis: int) -> tuple[Field, Field]:
    """Return the values at both ends of each grid edge along an axis."""
    return (field[:, :-1], field[:, 1:]) if axis == 1 else (field[:-1], field[1:])


def _slots(corners: NDArray[np.int64], edges: tuple[NDArray[np.int64], ...]) -> NDArray[np.int64]:
    """Return for each grid cell its eight possible vertices: corners, then edges, clockwise."""
    across, down = edges
    around = [corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]]
    around += [across[:-1], down[:, 1:], across[1:], down[:, :-1]]
    return np.stack(around, axis=-1)


def _triangles(inside: NDArray[np.bool_], slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the triangles of the front, counter-clockwise seen from +Z."""
    pattern = inside[:-1, :-1] + 2 * inside[:-1, 1:] + 4 * inside[1:, 1:] + 8 * inside[1:, :-1]
    faces = [slots[pattern == case][:, _fans(case)].reshape(-1, 3) for case in range(1, 16) if (pattern == case).any()]
    return np.concatenate(faces)


def _fans(case: int) -> list[list[int]]:
    """Return the triangles of one pattern of inside corners, as slots.

    Every triangle has a corner that is inside, so none joins three points of the outline: that keeps the two
    halves from sharing an edge anywhere but on the outline.
    """
    lit = [bool(case >> corner & 1) for corner in range(4)]
    if lit in ([True, False, True, False], [False, True, False, True]):
        return [[corner, 4 + (corner - 1) % 4, 4 + corner] for corner in range(4) if lit[corner]]
    first = next(corner for corner in range(4) if lit[corner] and (lit[(corner + 2) % 4] or sum(lit) < 3))
    outline = []
    for corner in [(first + step) % 4 for step in range(4)]:
        outline += [corner] if lit[corner] else []
        outline += [4 + corner] if lit[corner] != lit[(corner + 1) % 4] else []
    first_at = outline.index(first)
    outline = outline[first_at:] + outline[:first_at]
    return [[outline[0], outline[step + 1], outline[step]] for step in range(1, len(outline) - 1)]


def _placed(places: Floats, shape: tuple[int, ...]) -> Floats:
    """Return x and y, centred, up is positive."""
    centre = np.array([(shape[1] + 1) / 2, (shape[0] + 1) / 2], np.float32)
    return np.asarray((places - centre) * np.array([1, -1]) / max(shape), np.float32)


def _projected(places: Floats, shape: tuple[int, ...], back_count: int) -> Floats:
    """Return texture coordinates: the photo is projected straight through the object."""
    flat = (places - 0.5) / np.array([shape[1], shape[0]], np.float32)
    return np.asarray(np.clip(np.concatenate([flat, flat[:back_count]]), 0, 1), np.float32)


def _normals(positions: Floats, triangles: Indices) -> Floats:
    """Return unit normals, each the mean of the triangles around a vertex, weighted by area."""
    a, b, c = (positions[triangles[:, corner]] for corner in range(3))
    facing = np.cross(b - a, c - a)
    total = np.column_stack(
        [
            sum(np.bincount(triangles[:, corner], facing[:, axis], len(positions)) for corner in range(3))
            for axis in range(3)
        ]
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    total = np.where(length > 0, total, [0.0, 0.0, 1.0])
    return np.asarray(total / np.where(length > 0, length, 1.0), np.float32)
