"""The files of a run: the GLB, and the ZIP of intermediate files if it was asked for."""

import io
import json
import zipfile
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .glb import GENERATOR, write_glb
from .images import Pixels
from .mesh import Surface, inflate
from .model import Cutout, Hint, separate

_EPOCH = (1980, 1, 1, 0, 0, 0)  # A fixed date in the ZIP: the same inputs, the same bytes.


@dataclass(frozen=True)
class Files:
    """What one run produced."""

    glb: bytes
    zip: bytes


def make_files(image: bytes, hint: Hint, seed: int) -> Files:
    """Run the stand-in model. The same arguments give the same bytes.

    Raises:
        UnreadableImageError: an image can't be read.
    """
    cutout = separate(image, hint)
    fullness = 0.5 + 0.2 * (seed * 2654435761 % 2**32) / 2**32
    surface = inflate(cutout.silhouette, fullness)
    return Files(write_glb(surface, cutout, seed), _archive(cutout, surface, seed))


def _archive(cutout: Cutout, surface: Surface, seed: int) -> bytes:
    """Return the ZIP: mask, depth, and a few facts."""
    facts = {
        "generator": GENERATOR,
        "seed": seed,
        "vertices": len(surface.positions),
        "triangles": len(surface.triangles),
        "area_share": round(float((cutout.silhouette > 0.5).mean()), 6),
    }
    members = {
        "mask.png": _png(np.where(cutout.silhouette > 0.5, 255, 0).astype(np.uint8)),
        "depth.png": _png(_depth(surface, cutout.silhouette.shape)),
        "object.json": json.dumps(facts, indent=2).encode(),
    }
    return pack(members)


def pack(members: dict[str, bytes]) -> bytes:
    """Return a ZIP of files by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _depth(surface: Surface, shape: tuple[int, ...]) -> Pixels:
    """Return the front's height as grey levels, nearest white."""
    depth = np.zeros(shape, np.float32)
    front = surface.positions[:, 2] > 0
    at = (surface.coordinates[front] * np.array([shape[1], shape[0]]) - 0.5).round().astype(int)
    columns, rows = np.clip(at[:, 0], 0, shape[1] - 1), np.clip(at[:, 1], 0, shape[0] - 1)
    depth[rows, columns] = surface.positions[front, 2]
    return np.asarray(depth / max(float(depth.max()), 1e-9) * 255, np.uint8)


def _png(grey: Pixels) -> bytes:
    """Encode a grey image."""
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG")
    return out.getvalue()
