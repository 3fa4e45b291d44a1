"""Inflation makes closed surfaces of any silhouette."""

import cv2
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from worker.simulator.mesh import Surface, inflate

Field = NDArray[np.float32]


def as_trimesh(surface: Surface) -> trimesh.Trimesh:
    """Return the surface as trimesh sees it, with nothing repaired."""
    return trimesh.Trimesh(surface.positions, surface.triangles, process=False)


def disc(side: int = 40, radius: float = 15.0) -> Field:
    """Return the soft silhouette of a disc."""
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    return np.asarray(np.clip(radius - np.hypot(x, y) + 0.5, 0, 1), np.float32)


def noise(seed: int) -> Field:
    """Return a silhouette with holes, islands and saddles."""
    field = np.random.default_rng(seed).random((24, 31), dtype=np.float32)
    return np.asarray(cv2.GaussianBlur(field, (0, 0), 0.8), np.float32)


SILHOUETTES = {
    "disc": disc(),
    "everything": np.ones((12, 30), np.float32),
    "one pixel": np.pad(np.ones((1, 1), np.float32), 6),
    "two corners": np.pad(np.eye(2, dtype=np.float32), 6),
    "ring": disc() * (1 - disc(radius=6)),
    **{f"noise {seed}": noise(seed) for seed in range(5)},
}


@pytest.mark.parametrize("name", SILHOUETTES)
def test_surface_is_closed_and_faces_outwards(name: str) -> None:
    """Every edge has two triangles of opposite direction, and the volume is positive."""
    mesh = as_trimesh(inflate(SILHOUETTES[name], 0.6))
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0


def test_disc_becomes_a_ball() -> None:
    """A full inflation of a disc is as high as its radius."""
    surface = inflate(disc(), 1.0)
    assert surface.positions[:, 2].max() == pytest.approx(15 / 40, rel=0.08)
    assert surface.positions[:, 0].max() == pytest.approx(15 / 40, rel=0.03)


def test_normals_are_unit_and_outward() -> None:
    """Normals of a ball point away from its middle."""
    surface = inflate(disc(), 1.0)
    assert np.linalg.norm(surface.normals, axis=1) == pytest.approx(1, abs=1e-4)
    front = surface.positions[:, 2] > 0.1
    assert (np.sum(surface.normals[front] * surface.positions[front], axis=1) > 0).all()


def test_photo_is_projected_upright() -> None:
    """The texture's top left is at the object's top left, seen from +Z."""
    surface = inflate(np.ones((20, 20), np.float32), 0.5)
    corner = surface.coordinates.sum(axis=1).argmin()
    assert surface.positions[corner, 0] < -0.4
    assert surface.positions[corner, 1] > 0.4
    assert ((surface.coordinates >= 0) & (surface.coordinates <= 1)).all()
