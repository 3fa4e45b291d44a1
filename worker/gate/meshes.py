"""Pure: what the meshes of a glTF draw: their triangles, and the box around them (glTF 2.0, "Meshes")."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.gate.gltf import SMALL, Accessor, View
from worker.gate.positions import Positions, require_indices
from worker.gate.unfit import index, natural, part, parts, require
from worker.rules.geometry import Box, around

DRACO = "KHR_draco_mesh_compression"
QUANTIZED = "KHR_mesh_quantization"

FLOAT = 5126
ATTRIBUTES: Mapping[str, Collection[str]] = {
    "POSITION": ("VEC3",),
    "NORMAL": ("VEC3",),
    "TANGENT": ("VEC4",),
    "TEXCOORD_0": ("VEC2",),
    "COLOR_0": ("VEC3", "VEC4"),
}
"""What arrays of each corner are made of."""

LEAST: Mapping[int, int] = {0: 1, 1: 2, 2: 2, 3: 2, 4: 3, 5: 3, 6: 3}
"""How many corners draw something, by the mode of a primitive: points, three kinds of lines, three of triangles."""

TRIANGLES, STRIP, FAN = 4, 5, 6


@dataclass(frozen=True)
class Mesh:
    """What a mesh draws, in its own frame; ``box`` is None where it draws nothing."""

    box: Box | None = None
    triangles: int = 0
    has_colours: bool = False
    corners: frozenset[Accessor] = frozenset()


@dataclass(frozen=True)
class Meshes:
    """Reads the meshes of a glTF."""

    accessors: Sequence[Accessor]
    views: Sequence[View]
    used: Sequence[str]
    positions: Positions

    def read(self, mesh: Mapping[str, Any]) -> Mesh:
        """Return what a mesh draws.

        Raises:
            Unfit: a part of it names what is not there, or is of the wrong kind.
        """
        drawn = [self._primitive(each) for each in parts(mesh, "primitives")]
        require(drawn, "has a mesh without primitives")
        return Mesh(
            around(each.box for each in drawn if each.box),
            sum(each.triangles for each in drawn),
            any(each.has_colours for each in drawn),
            frozenset[Accessor]().union(*(each.corners for each in drawn)),
        )

    def _primitive(self, primitive: Mapping[str, Any]) -> Mesh:
        named = self._attributes(part(primitive, "attributes"))
        is_packed = self._is_packed(part(primitive, "extensions"))
        mode, positions = natural(primitive, "mode", TRIANGLES), named.get("POSITION")
        require(mode in LEAST, f"has a primitive of mode {mode}")
        if positions is None:
            return Mesh()
        count = positions.count
        if "indices" in primitive:
            count = self._indices(self._accessor(primitive, "indices"), count, is_packed=is_packed)
        box = self.positions.box(positions, is_packed=is_packed)
        triangles = {TRIANGLES: count // 3, STRIP: count - 2, FAN: count - 2}.get(mode, 0)
        is_drawn = count >= LEAST[mode]
        return Mesh(box, triangles, "COLOR_0" in named, frozenset([positions])) if is_drawn else Mesh()

    def _accessor(self, owner: Mapping[str, Any], name: str) -> Accessor:
        return self.accessors[index(owner, name, self.accessors)]

    def _attributes(self, attributes: Mapping[str, Any]) -> Mapping[str, Accessor]:
        """Return the arrays of corners by name; all have as many elements."""
        # A name may be anything, and is not told.
        named = {name: self._accessor({"attribute": each}, "attribute") for name, each in attributes.items()}
        counts = [each.count for each in named.values()]
        if counts:
            require(min(counts) == max(counts), f"has corners with {min(counts)} and with {max(counts)} values")
        for name, shapes in ATTRIBUTES.items():
            require(name not in named or named[name].shape in shapes, f"has a {name} of another type")
        kinds = (FLOAT, *SMALL) if QUANTIZED in self.used else (FLOAT,)
        component = named["POSITION"].component if "POSITION" in named else FLOAT
        require(component in kinds, f"has positions with a componentType of {component}")
        return named

    def _is_packed(self, extensions: Mapping[str, Any]) -> bool:
        """Tell whether a primitive is compressed, which nothing here reads."""
        if DRACO not in extensions:
            return False
        require(DRACO in self.used, f"uses {DRACO} and does not say so")
        index(part(extensions, DRACO), "bufferView", self.views)
        return True

    def _indices(self, indices: Accessor, corners: int, *, is_packed: bool) -> int:
        """Return how many corners are drawn, each of which is there."""
        require_indices(indices, is_packed=is_packed)
        if not is_packed:
            self.positions.require_corners(indices, corners)
        return indices.count
