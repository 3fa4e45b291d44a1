"""Pure: whether the JSON of a glTF fits together, and what is in its model (glTF 2.0)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from worker.gate.arrays import Source
from worker.gate.gltf import Accessor, read_accessors, read_views
from worker.gate.meshes import Mesh, Meshes
from worker.gate.placing import moved, placements
from worker.gate.positions import Positions
from worker.gate.unfit import MOST_PARTS, Unfit, index, part, parts, require, require_size
from worker.rules.geometry import Geometry, around

REFERENCES = (
    ("scenes", "nodes", "nodes"),
    ("nodes", "children", "nodes"),
    ("nodes", "mesh", "meshes"),
    ("nodes", "skin", "skins"),
    ("nodes", "camera", "cameras"),
    ("textures", "source", "images"),
    ("textures", "sampler", "samplers"),
    ("images", "bufferView", "bufferViews"),
)
"""Which things name others: the list that they are in, by what name, and the list of the others."""


def read_scene(document: Mapping[str, Any], binary: Source | None, size: int, *, is_alone: bool = False) -> Geometry:
    """Return what is in a model; ``is_alone`` is a .gltf, which may have its bytes in files beside it.

    Raises:
        Unfit: a part does not fit, or nothing is to be seen.
    """
    _require_version(part(document, "asset"))
    _require_references(document)
    require(is_alone or all(map(_is_inside, parts(document, "images"))), "has an image in another file")
    used = document.get("extensionsUsed", [])
    require(isinstance(used, list), "has extensionsUsed that are no list")
    views = read_views(document, binary, used, is_alone=is_alone)
    reader = Meshes(read_accessors(document, views), views, used, Positions(size))
    meshes = [reader.read(each) for each in parts(document, "meshes")]
    return _geometry(document, meshes)


def _geometry(document: Mapping[str, Any], meshes: Sequence[Mesh]) -> Geometry:
    """Return what is shown of the meshes; each counts once, however often it is placed."""
    placed = list(placements(document))
    shown = [meshes[number] for number in {number for number, _ in placed}]
    bounds = around(moved(box, frame) for number, frame in placed if (box := meshes[number].box))
    if bounds is None:
        raise Unfit("shows no mesh that has positions and draws something")
    require_size(bounds)
    return Geometry(
        triangles=sum(mesh.triangles for mesh in shown),
        vertices=sum(each.count for each in frozenset[Accessor]().union(*(mesh.corners for mesh in shown))),
        bounds=bounds,
        has_colours=any(mesh.has_colours for mesh in shown),
        has_textures=bool(parts(document, "textures")),
        splats=0,
    )


def _require_version(asset: Mapping[str, Any]) -> None:
    """Go on where a reader of glTF 2.0 may read it ("Asset")."""
    versions = [asset.get("version"), asset.get("minVersion", "2.0")]
    is_known = all(isinstance(each, str) and each.startswith("2.") and each[2:].isdecimal() for each in versions)
    require(is_known and versions[1] == "2.0", "is not of a version 2 of glTF")


def _require_references(document: Mapping[str, Any]) -> None:
    """Go on where whatever is named is there."""
    if "scene" in document:
        index(document, "scene", parts(document, "scenes"))
    for owners, name, targets in REFERENCES:
        _require_named(parts(document, owners), name, parts(document, targets))
    primitives = [each for mesh in parts(document, "meshes") for each in parts(mesh, "primitives")]
    require(len(primitives) <= MOST_PARTS, f"has {len(primitives)} primitives, and {MOST_PARTS} are read at most")
    _require_named(primitives, "material", parts(document, "materials"))
    textures = [each for material in parts(document, "materials") for each in _textures(material)]
    _require_named(textures, "index", parts(document, "textures"))


def _require_named(owners: Iterable[Mapping[str, Any]], name: str, among: Sequence[object]) -> None:
    for owner in owners:
        named = owner.get(name, [])
        for each in named if isinstance(named, list) else [named]:
            index({name: each}, name, among)


def _textures(material: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give what names a texture, however deep."""
    for name, value in material.items():
        if isinstance(value, dict):
            yield from [value] if name.endswith("Texture") else _textures(value)


def _is_inside(image: Mapping[str, Any]) -> bool:
    """Tell an image within the file, in a view or a data URI, from one elsewhere."""
    return "bufferView" in image or str(image.get("uri", "")).startswith("data:")
