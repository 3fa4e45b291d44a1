"""GLB out: a surface and its photo as one binary glTF 2.0 file. Written by hand: it is only five views."""

import io
import json
import struct
from typing import Any

import cv2
import numpy as np
from PIL import Image

from .images import Pixels
from .mesh import Surface
from .model import Cutout

GENERATOR = "sam3d simulator: a stand-in model that inflates a silhouette, not SAM 3D Objects"
_ARRAY, _ELEMENTS = 34962, 34963
_FLOAT, _UNSIGNED_INT = 5126, 5125


def write_glb(surface: Surface, cutout: Cutout, seed: int) -> bytes:
    """Return the GLB, non-metallic, with the photo as its colour."""
    parts = [
        np.ascontiguousarray(surface.positions).tobytes(),
        np.ascontiguousarray(surface.normals).tobytes(),
        np.ascontiguousarray(surface.coordinates).tobytes(),
        np.ascontiguousarray(surface.triangles).tobytes(),
        _jpeg(bled(cutout)),
    ]
    document = _document(surface, [len(part) for part in parts], seed)
    return _container(document, b"".join(part + b"\0" * (-len(part) % 4) for part in parts))


def bled(cutout: Cutout) -> Pixels:
    """Return the photo with the object's own colours spread over its background, so that no edge shows it."""
    size = (cutout.rgb.shape[1], cutout.rgb.shape[0])
    mask = np.asarray(cv2.resize(cutout.silhouette, size, interpolation=cv2.INTER_LINEAR))
    kept = np.clip((mask - 0.6) * 4.0, 0.0, 1.0)[..., None].astype(np.float32)
    if not kept.any():
        return np.asarray(cutout.rgb, np.uint8)
    rgb = cutout.rgb.astype(np.float32)
    small = (max(1, size[0] // 4), max(1, size[1] // 4))
    colours = cv2.resize(rgb * kept, small, interpolation=cv2.INTER_AREA).reshape(small[1], small[0], 3)
    weight = cv2.resize(kept, small, interpolation=cv2.INTER_AREA).reshape(small[1], small[0])
    spread = np.zeros_like(colours)
    for reach in (64.0, 16.0, 4.0, 1.5):
        near = cv2.GaussianBlur(weight, (0, 0), reach)[..., None]
        mixed = cv2.GaussianBlur(colours, (0, 0), reach) / np.maximum(near, 1e-6)
        spread += (mixed - spread) * np.clip(near * 50.0, 0.0, 1.0)
    around = cv2.resize(spread, size, interpolation=cv2.INTER_LINEAR).reshape(rgb.shape)
    return np.asarray(np.clip(rgb * kept + around * (1.0 - kept), 0, 255), np.uint8)


def _jpeg(rgb: Pixels) -> bytes:
    """Encode the texture."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=88)
    return out.getvalue()


def _document(surface: Surface, sizes: list[int], seed: int) -> dict[str, Any]:
    """Return the JSON part."""
    return {
        "asset": {"version": "2.0", "generator": GENERATOR, "extras": {"stand_in": True, "seed": seed}},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "object"}],
        "meshes": [
            {
                "name": "object",
                "primitives": [
                    {"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0}
                ],
            }
        ],
        "materials": [
            {
                "name": "photo",
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.85,
                },
            }
        ],
        "textures": [{"source": 0, "sampler": 0}],
        "images": [{"bufferView": 4, "mimeType": "image/jpeg"}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "accessors": _accessors(surface),
        "bufferViews": _views(sizes),
        "buffers": [{"byteLength": sum(size + -size % 4 for size in sizes)}],
    }


def _accessors(surface: Surface) -> list[dict[str, Any]]:
    """Describe the arrays."""
    positions = surface.positions
    bounds = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    count = len(positions)
    return [
        {"bufferView": 0, "componentType": _FLOAT, "count": count, "type": "VEC3", **bounds},
        {"bufferView": 1, "componentType": _FLOAT, "count": count, "type": "VEC3"},
        {"bufferView": 2, "componentType": _FLOAT, "count": count, "type": "VEC2"},
        {"bufferView": 3, "componentType": _UNSIGNED_INT, "count": surface.triangles.size, "type": "SCALAR"},
    ]


def _views(sizes: list[int]) -> list[dict[str, Any]]:
    """Describe where each array and the texture lie, each on a multiple of four."""
    views: list[dict[str, Any]] = []
    offset = 0
    for number, size in enumerate(sizes):
        view: dict[str, Any] = {"buffer": 0, "byteOffset": offset, "byteLength": size}
        if number < len(sizes) - 1:
            view["target"] = _ELEMENTS if number == len(sizes) - 2 else _ARRAY
        views.append(view)
        offset += size + -size % 4
    return views


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    """Wrap both parts in the GLB header and chunks."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    head = struct.pack("<4sII", b"glTF", 2, total) + struct.pack("<I4s", len(text), b"JSON")
    return head + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary


def padded(glb: bytes, size: int) -> bytes:
    """Return a GLB with so many bytes more, in a view that nothing shows."""
    if not size:
        return glb
    (length,) = struct.unpack_from("<I", glb, 12)
    document, binary = json.loads(glb[20 : 20 + length]), glb[28 + length :]
    more = size + -size % 4
    document["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": more})
    document["buffers"][0]["byteLength"] = len(binary) + more
    return _container(document, binary + bytes(more))
