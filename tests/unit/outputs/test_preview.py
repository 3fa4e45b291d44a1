"""A picture of a model is drawn without a GPU, whatever the model's colours are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh as typed_trimesh
from numpy.typing import NDArray
from PIL import Image

from worker.outputs.preview import render_preview

trimesh: Any = typed_trimesh  # Much of it has no types.
SIZE = (64, 48)


def drawn(model: Any, tmp_path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the picture's middle pixel and a corner."""
    glb, png = tmp_path / "model.glb", tmp_path / "preview.png"
    glb.write_bytes(model.export(file_type="glb"))
    render_preview(glb, png, size=SIZE)
    with Image.open(png) as picture:
        assert picture.size == SIZE
        pixels = np.asarray(picture).astype(int)
    return pixels[SIZE[1] // 2, SIZE[0] // 2], pixels[2, 2]


def test_plain_mesh_is_grey_on_a_light_wall(tmp_path: Path) -> None:
    """A mesh without colours is seen against the background."""
    middle, corner = drawn(trimesh.creation.box(), tmp_path)
    assert np.ptp(middle) < 12
    assert middle.mean() < corner.mean()


def test_vertex_colours_are_used(tmp_path: Path) -> None:
    """A red mesh is red."""
    mesh = trimesh.creation.box()
    mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=np.tile([255, 0, 0, 255], (8, 1)))
    middle, _ = drawn(mesh, tmp_path)
    assert middle[0] > 100 + middle[2]


def test_texture_is_the_right_way_up(tmp_path: Path) -> None:
    """The texture's lower half, blue, is below."""
    picture = Image.new("RGB", (8, 8), "red")
    picture.paste((0, 0, 255), (0, 4, 8, 8))
    mesh = trimesh.Trimesh([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture)
    uv = [[0, 0], [1, 0], [1, 0.45], [0, 0.45]]
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    middle, _ = drawn(mesh, tmp_path)
    assert middle[2] > 100 + middle[0]


def test_scene_of_several_meshes(tmp_path: Path) -> None:
    """All meshes of a scene are drawn where the scene puts them."""
    scene = trimesh.Scene()
    for place in (-5, 0, 5):
        scene.add_geometry(trimesh.creation.box(), transform=trimesh.transformations.translation_matrix([place, 0, 0]))
    middle, corner = drawn(scene, tmp_path)
    assert middle.mean() < corner.mean()


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    """A model without triangles has no picture."""
    glb = tmp_path / "points.glb"
    glb.write_bytes(trimesh.Scene([trimesh.PointCloud(np.eye(3))]).export(file_type="glb"))
    with pytest.raises(ValueError, match="has 0 triangles"):
        render_preview(glb, tmp_path / "preview.png")
