"""GLBs that are wrong in one thing each: ``python -m tests.support.mutilated FOLDER`` writes them."""

import copy
import json
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.containers import glb

GLBS = Path(__file__).parent / "glbs"
GONE = object()
"""Stands for a value that is taken away."""

IDX, POS, COL = 0, 1, 2
"""The accessors of ``sam3d.glb``, and the views that they are in."""


def read(name: str = "sam3d") -> tuple[dict[str, Any], bytes]:
    """Return the JSON and the data of a good GLB."""
    content = (GLBS / f"{name}.glb").read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + length]), content[28 + length :]


def packed(document: object, binary: bytes | None) -> bytes:
    """Return a GLB of JSON and data, each filled up to a multiple of four."""
    text = json.dumps(document, separators=(",", ":")).encode()
    chunks = [(b"JSON", text + b" " * (-len(text) % 4))]
    return glb(*chunks, *([(b"BIN\0", binary + bytes(-len(binary) % 4))] if binary is not None else []))


def told(*path: str | int, to: object = GONE, name: str = "sam3d") -> bytes:
    """Return a GLB whose JSON has another value at a path."""
    document, binary = read(name)
    owner: Any = document
    for step in path[:-1]:
        owner = owner.setdefault(step, {}) if isinstance(step, str) else owner[step]
    if to is GONE:
        del owner[path[-1]]
    else:
        owner[path[-1]] = to
    return packed(document, binary)


def edited(edit: Callable[[dict[str, Any]], object], name: str = "sam3d") -> bytes:
    """Return a GLB whose JSON was edited."""
    document, binary = read(name)
    edit(document)
    return packed(document, binary)


def written(view: int, at: int, values: bytes, name: str = "sam3d") -> bytes:
    """Return a GLB with other bytes at a place of a view."""
    document, binary = read(name)
    place = document["bufferViews"][view].get("byteOffset", 0) + at
    return packed(document, binary[:place] + values + binary[place + len(values) :])


def filled(view: int, value: bytes) -> bytes:
    """Return a GLB with the same value all over a view."""
    document, _ = read()
    return written(view, 0, value * (document["bufferViews"][view]["byteLength"] // len(value)))


def raw(at: int, form: str, *values: Any, name: str = "sam3d") -> bytes:
    """Return a GLB with other bytes at a place of the file."""
    content = bytearray((GLBS / f"{name}.glb").read_bytes())
    struct.pack_into(form, content, at, *values)
    return bytes(content)


def resized(change: Callable[[bytes], bytes]) -> bytes:
    """Return a GLB that says how long it is after a change of its bytes."""
    content = change((GLBS / "sam3d.glb").read_bytes())
    return content[:8] + len(content).to_bytes(4, "little") + content[12:]


def _elsewhere(document: dict[str, Any]) -> None:
    document["buffers"].append({"byteLength": 8, "uri": "more.bin"})


def _under_itself(document: dict[str, Any]) -> None:
    document["nodes"][0]["children"] = [0]


def _twice(document: dict[str, Any]) -> None:
    document["nodes"] += [{"children": [0]}, {"children": [0]}]
    document["scenes"][0]["nodes"] = [1, 2]


def _without_data() -> bytes:
    document, _ = read()
    return packed(document, None)


def _short() -> bytes:
    document, binary = read()
    return packed(document, binary[:-400])


def _joined() -> bytes:
    """Return one whose indices are in another file."""
    document, binary = read()
    document["buffers"].append({"byteLength": document["bufferViews"][IDX]["byteLength"], "uri": "x.bin"})
    document["bufferViews"][IDX]["buffer"] = 1
    return packed(document, binary)


def _lots(document: dict[str, Any]) -> None:
    """Have many arrays over each other, each a little other."""
    whole = document["accessors"][POS]
    for count in range(40, whole["count"]):
        document["accessors"].append({**copy.deepcopy(whole), "count": count})
        document["meshes"][0]["primitives"].append({"attributes": {"POSITION": len(document["accessors"]) - 1}})


NAN, INF = struct.pack("<f", float("nan")), struct.pack("<f", float("-inf"))
A, V, P = "accessors", "bufferViews", ("meshes", 0, "primitives", 0)

MUTILATED: Mapping[str, bytes] = {
    # The header and the chunks.
    "header: another magic": raw(0, "4s", b"glTX"),
    "header: version 1": raw(4, "<I", 1),
    "header: version 3": raw(4, "<I", 3),
    "header: a byte too few": raw(8, "<I", 100),
    "header: as long as can be": raw(8, "<I", 2**32 - 1),
    "file: cut by four bytes": (GLBS / "sam3d.glb").read_bytes()[:-4],
    "file: cut in half": (GLBS / "sam3d.glb").read_bytes()[:4000],
    "file: four bytes more": (GLBS / "sam3d.glb").read_bytes() + bytes(4),
    "file: cut, and says so": resized(lambda content: content[:-4]),
    "file: more, and says so": resized(lambda content: content + bytes(4)),
    "chunk: JSON longer than all": raw(12, "<I", 2**31),
    "chunk: JSON shorter by four": raw(12, "<I", struct.unpack_from("<I", raw(0, ""), 12)[0] - 4),
    "chunk: JSON of another type": raw(16, "4s", b"JSOX"),
    "chunk: JSON in small letters": raw(16, "4s", b"json"),
    "chunk: of no multiple of four": glb((b"JSON", json.dumps(read()[0]).encode() + b"   "), (b"BIN\0", read()[1])),
    "chunk: data first": glb((b"BIN\0", read()[1]), (b"JSON", json.dumps(read()[0]).encode())),
    "chunk: data missing": _without_data(),
    "chunk: data of another type": packed(*read()).replace(b"BIN\0", b"BIX\0"),
    "chunk: data too short": _short(),
    # The JSON.
    "JSON: no JSON": raw(20, "c", b"x"),
    "JSON: in another writing": raw(24, "2s", b"\xff\xfe"),
    "JSON: a number that is none": told("extras", to=float("nan")),
    "JSON: a list": packed([read()[0]], read()[1]),
    "asset: none": told("asset"),
    "asset: no version": told("asset", "version"),
    "asset: version 1.0": told("asset", "version", to="1.0"),
    "asset: version 2": told("asset", "version", to=2),
    "asset: for readers of 3.0": told("asset", "minVersion", to="3.0"),
    # What names what.
    "scene: one that is not there": told("scene", to=1),
    "scene: a node that is not there": told("scenes", 0, "nodes", to=[7]),
    "scene: a node below zero": told("scenes", 0, "nodes", to=[-1]),
    "scene: no node": told("scenes", 0, "nodes"),
    "node: a mesh that is not there": told("nodes", 0, "mesh", to=1),
    "node: no mesh": told("nodes", 0, "mesh"),
    "node: a child that is not there": told("nodes", 0, "children", to=[9]),
    "node: under itself": edited(_under_itself),
    "node: of two parents": edited(_twice),
    "node: a matrix of 15": told("nodes", 0, "matrix", to=[1.0] * 15),
    "node: without size": told("nodes", 0, "scale", to=[0, 0, 0]),
    "mesh: none": told("meshes"),
    "mesh: no primitives": told("meshes", 0, "primitives", to=[]),
    "primitive: no attributes": told(*P, "attributes"),
    "primitive: no positions": told(*P, "attributes", "POSITION"),
    "primitive: positions that are not there": told(*P, "attributes", "POSITION", to=3),
    "primitive: positions that are colours": told(*P, "attributes", "POSITION", to=COL),
    "primitive: positions that are indices": told(*P, "attributes", "POSITION", to=IDX),
    "primitive: colours that are indices": told(*P, "attributes", "COLOR_0", to=IDX),
    "primitive: indices that are not there": told(*P, "indices", to=3),
    "primitive: indices that are positions": told(*P, "indices", to=POS),
    "primitive: mode 7": told(*P, "mode", to=7),
    "primitive: a material that is not there": told(*P, "material", to=0),
    "material: a texture that is not there": edited(
        lambda it: it["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"].update(index=5), "textured"
    ),
    "texture: an image that is not there": told("textures", 0, "source", to=4, name="textured"),
    "image: in another file": told("images", 0, to={"uri": "photo.png"}, name="textured"),
    "image: in a view that is not there": told("images", 0, "bufferView", to=99, name="textured"),
    # Accessors.
    "accessor: of an unknown type": told(A, POS, "type", to="VEC5"),
    "accessor: no type": told(A, POS, "type"),
    "accessor: of two numbers": told(A, POS, "type", to="VEC2"),
    "accessor: componentType 5124": told(A, POS, "componentType", to=5124),
    "accessor: componentType 5125 for places": told(A, POS, "componentType", to=5125),
    "accessor: no componentType": told(A, POS, "componentType"),
    "accessor: count 0": told(A, POS, "count", to=0),
    "accessor: count -1": told(A, POS, "count", to=-1),
    "accessor: count 1.5": told(A, POS, "count", to=1.5),
    "accessor: a count of text": told(A, POS, "count", to="162"),
    "accessor: one more than fits": told(A, POS, "count", to=read()[0]["accessors"][POS]["count"] + 1),
    "accessor: 2**40 elements": told(A, POS, "count", to=2**40),
    "accessor: fewer colours than corners": told(A, COL, "count", to=100),
    "accessor: fewer corners than named": edited(lambda it: [it[A][POS].update(count=99), it[A][COL].update(count=99)]),
    "accessor: a view that is not there": told(A, POS, "bufferView", to=3),
    "accessor: no view": edited(lambda it: [it[A][POS].pop("bufferView"), it[A][POS].pop("byteOffset")]),
    "accessor: at byte 2": told(A, POS, "byteOffset", to=2),
    "accessor: at byte 4, and as many": told(A, POS, "byteOffset", to=4),
    "accessor: at byte -4": told(A, POS, "byteOffset", to=-4),
    "accessor: normalized floats": told(A, POS, "normalized", to=True),
    "accessor: sparse, more than there are": told(A, POS, "sparse", to={
        "count": 999, "indices": {"bufferView": 0, "componentType": 5125}, "values": {"bufferView": 1}}),
    "accessor: sparse, in no view": told(A, POS, "sparse", to={
        "count": 1, "indices": {"bufferView": 9, "componentType": 5125}, "values": {"bufferView": 1}}),
    "accessor: sparse, behind the last": told(A, POS, "sparse", to={
        "count": 2, "indices": {"bufferView": 1, "componentType": 5125}, "values": {"bufferView": 1}}),
    "accessors: very many over each other": edited(_lots),
    # Views and buffers.
    "view: a buffer that is not there": told(V, POS, "buffer", to=1),
    "view: no buffer": told(V, POS, "buffer"),
    "view: no length": told(V, POS, "byteLength"),
    "view: length 0": told(V, POS, "byteLength", to=0),
    "view: four bytes too short": told(V, POS, "byteLength", to=read()[0][V][POS]["byteLength"] - 4),
    "view: behind its buffer": told(V, COL, "byteOffset", to=read()[0][V][COL]["byteOffset"] + 4),
    "view: at byte -4": told(V, POS, "byteOffset", to=-4),
    "view: at an odd byte": told(V, POS, "byteOffset", to=read()[0][V][POS]["byteOffset"] + 1),
    "view: a stride of 8": told(V, POS, "byteStride", to=8),
    "view: a stride of 13": told(V, POS, "byteStride", to=13),
    "view: a stride of 16": told(V, POS, "byteStride", to=16),
    "view: a stride of 256": told(V, POS, "byteStride", to=256),
    "view: indices with a stride": told(V, IDX, "byteStride", to=4),
    "buffer: none": told("buffers"),
    "buffer: no length": told("buffers", 0, "byteLength"),
    "buffer: longer than the data": told("buffers", 0, "byteLength", to=2**20),
    "buffer: shorter than its views": told("buffers", 0, "byteLength", to=1000),
    "buffer: in another file": told("buffers", 0, "uri", to="model.bin"),
    "buffer: at an address": told("buffers", 0, "uri", to="https://example.com/model.bin"),
    "buffer: a second one in another file": edited(_elsewhere),
    "buffer: indices in another file": _joined(),
    "buffer: a data URI that is none": told("buffers", 0, "uri", to="data:application/octet-stream;base64,????"),
    "buffer: a data URI that is short": told("buffers", 0, "uri", to="data:application/octet-stream;base64,AAAA"),
    # Numbers.
    "bounds: min above max": edited(lambda it: it[A][POS].update(min=[1, 1, 1], max=[-1, -1, -1])),
    "bounds: of two numbers": told(A, POS, "min", to=[0, 0]),
    "bounds: of text": told(A, POS, "max", to=["1", "1", "1"]),
    "bounds: null": told(A, POS, "max", to=[None] * 3),
    "bounds: far too small": edited(lambda it: it[A][POS].update(min=[-0.1] * 3, max=[0.1] * 3)),
    "bounds: one side too small": told(A, POS, "max", to=[0.1, 0.5, 0.5]),
    "positions: a NaN": written(POS, 12, NAN),
    "positions: a NaN at the end": written(POS, read()[0][V][POS]["byteLength"] - 4, NAN),
    "positions: an infinity": written(POS, 40, INF),
    "positions: all NaN": filled(POS, NAN),
    "positions: all zero": filled(POS, bytes(4)),
    "positions: beyond all bounds": written(POS, 0, struct.pack("<f", 1e9)),
    "positions: text": filled(POS, b"html"),
    "indices: one that is not there": written(IDX, 0, struct.pack("<I", read()[0][A][POS]["count"])),
    "indices: the last one far off": written(IDX, read()[0][V][IDX]["byteLength"] - 4, b"\xff\xff\xff\xff"),
    "indices: all zero": filled(IDX, bytes(4)),
    "indices: signed": told(A, IDX, "componentType", to=5122),
    "indices: floats": told(A, IDX, "componentType", to=5126),
    "indices: three at a time": edited(lambda it: it[A][IDX].update(type="VEC3", count=it[A][IDX]["count"] // 3)),
    "indices: two triangles short of one": told(A, IDX, "count", to=2),
    "indices: normalized": edited(lambda it: it[A][IDX].update(normalized=True, componentType=5123)),
    "indices: more than fit": told(A, IDX, "count", to=read()[0][A][IDX]["count"] + 1),
    # Extensions.
    "draco: not said": told("extensionsUsed", to=[], name="draco"),
    "draco: in no view": edited(
        lambda it: it["meshes"][0]["primitives"][0]["extensions"]["KHR_draco_mesh_compression"].update(bufferView=9),
        "draco",
    ),
    "draco: no bounds": edited(lambda it: [each.pop("min", 0) for each in it[A]], "draco"),
    "meshopt: not said": told("extensionsUsed", to=["KHR_mesh_quantization"], name="meshopt"),
    "meshopt: behind its buffer": edited(
        lambda it: it[V][0]["extensions"]["EXT_meshopt_compression"].update(byteOffset=2**20), "meshopt"
    ),
    "quantized: not said": told("extensionsUsed", to=[], name="quantized"),
    "quantized: behind its view": edited(lambda it: [each.update(count=999) for each in it[A]], "quantized"),
}  # fmt: skip
"""By what is wrong with it; each is of ``sam3d.glb`` where its line names no other."""


FORGIVEN: Mapping[str, bytes] = {
    "forgiven: no bounds": edited(lambda it: [it[A][POS].pop("min"), it[A][POS].pop("max")]),
    "forgiven: bounds that are rounded": edited(lambda it: it[A][POS].update(min=[-0.499] * 3, max=[0.499] * 3)),
    "forgiven: bounds that are too large": edited(lambda it: it[A][POS].update(min=[-1] * 3, max=[1] * 3)),
    "forgiven: wrong bounds of colours": told(A, COL, "max", to=[9, 9, 9, 255]),
    "forgiven: colours of three bytes": edited(lambda it: [it[A][COL].update(type="VEC3"), it[A][COL].pop("min"),
                                                         it[A][COL].pop("max")]),
    "forgiven: a rotation that scales": told("nodes", 0, "rotation", to=[0, 0, 1, 1]),
    "forgiven: views for another use": edited(lambda it: [each.update(target=34963) for each in it[V]]),
}  # fmt: skip
"""What is against the specification, and drawn by any viewer all the same."""


def main(folder: Path) -> None:
    """Write all of them, for Khronos' validator."""
    for name, content in {**MUTILATED, **FORGIVEN}.items():
        (folder / f"{name}.glb").write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
