"""Pure: where the corners of a mesh are, and which of them its indices name; each array is read once."""

from collections.abc import Mapping, Sequence

from worker.gate.arrays import extremes, largest_index
from worker.gate.gltf import UNSIGNED, Accessor
from worker.gate.unfit import Unfit, require
from worker.rules.geometry import Box, box_of

MOST_READ = 4
"""How often the bytes of a file are read at most, where accessors lie over each other."""

SLACK = 0.01
"""Share of a model's size by which positions may lie outside of the bounds that it tells: some writers round."""

ONE: Mapping[int, int] = {5120: 127, 5121: 255, 5122: 32767, 5123: 65535}
"""What stands for 1 where components are normalized."""


class Positions:
    """Looks at the arrays of a model of so many bytes."""

    def __init__(self, size: int) -> None:
        self._left = MOST_READ * size
        self._boxes: dict[Accessor, Box] = {}
        self._largest: dict[Accessor, int] = {}

    def box(self, accessor: Accessor, *, is_packed: bool = False) -> Box:
        """Return the box around all positions; of those that are packed the one that the model tells.

        Raises:
            Unfit: one is no number, or not within what the model tells.
        """
        if is_packed or not accessor.is_readable:
            return _told(accessor)
        if accessor not in self._boxes:
            self._take(accessor)
            self._boxes[accessor] = _read(accessor)
        return self._boxes[accessor]

    def require_corners(self, indices: Accessor, count: int) -> None:
        """Go on where all indices name one of so many corners, as far as they can be read.

        Raises:
            Unfit: one does not.
        """
        column = indices.column(0)
        if column is None or indices.sparse:
            return
        if indices not in self._largest:
            self._take(indices)
            self._largest[indices] = largest_index(column)
        largest = self._largest[indices]
        require(largest < count, f"names corner {largest} of {count}")

    def _take(self, accessor: Accessor) -> None:
        self._left -= accessor.stride * accessor.count if accessor.view else 0
        require(self._left >= 0, f"has arrays that lie over each other more than {MOST_READ} times")


def require_indices(indices: Accessor, *, is_packed: bool) -> None:
    """Go on where an accessor can be one of indices (glTF 2.0, "Meshes").

    Raises:
        Unfit: it can't.
    """
    require(indices.shape == "SCALAR" and indices.component in UNSIGNED, "has indices that are no unsigned numbers")
    require(not indices.is_normalized, "has indices that are normalized")
    require(indices.view or indices.sparse or is_packed, "has indices without a view")
    require(indices.view is None or indices.view.stride is None, "has indices in a view with a byteStride")


def _told(accessor: Accessor) -> Box:
    if accessor.least is None or accessor.largest is None:
        raise Unfit("has positions that are packed or elsewhere, and does not tell their bounds")
    return _box(accessor, list(zip(accessor.least, accessor.largest, strict=True)))


def _read(accessor: Accessor) -> Box:
    axes = [_extremes(accessor, axis) for axis in range(3)]
    if sparse := accessor.sparse:
        more = [_extremes(sparse.values, axis) for axis in range(3)]
        axes = [(min(low, least), max(high, most)) for (low, high), (least, most) in zip(axes, more, strict=True)]
        if column := sparse.indices.column(0):
            require(extremes(column)[1] < accessor.count, f"has a sparse index of more than {accessor.count}")
    _require_told(accessor, axes)
    return _box(accessor, axes)


def _extremes(accessor: Accessor, axis: int) -> tuple[float, float]:
    column = accessor.column(axis)
    return extremes(column) if column else (0.0, 0.0)


def _require_told(accessor: Accessor, axes: Sequence[tuple[float, float]]) -> None:
    slack = SLACK * max(high - low for low, high in axes)
    below = any(low < told - slack for (low, _), told in zip(axes, accessor.least or (), strict=False))
    above = any(high > told + slack for (_, high), told in zip(axes, accessor.largest or (), strict=False))
    require(not below and not above, "has positions outside of the bounds that it tells")


def _box(accessor: Accessor, axes: Sequence[tuple[float, float]]) -> Box:
    if not accessor.is_normalized:
        return box_of(axes)
    one = ONE[accessor.component]
    return box_of((max(low / one, -1.0), high / one) for low, high in axes)
