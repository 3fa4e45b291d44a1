"""A picture of a GLB, ray-cast on the CPU: no GPU, no OpenGL, no display.

Embree, trimesh and numpy come with the `demo` extra: import this module where a picture is made, not before.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Floats = NDArray[np.float64]

MAX_TRIANGLES = 1_500_000
_TURN, _RISE = 24.0, 16.0  # degrees: the photographed side (+Z) stays in view
_FILL = 0.74  # share of the frame that the object spans
_SHARP = 0.6  # cosine of the angle above which an edge stays an edge
_FINE = 2  # rays along each side of a pixel
_GREY = (178.0, 180.0, 184.0)


@dataclass(frozen=True)
class _Body:
    """Everything that is to be drawn, in one frame: colours for each corner, or a texture for each part."""

    corners: Floats  # (triangles, 3, 3)
    normals: Floats  # (triangles, 3, 3)
    coordinates: Floats  # (triangles, 3, 2)
    colours: Floats  # (triangles, 3, 3), 0 to 255, multiplied with the texture where there is one
    part: NDArray[np.int64]
    textures: list[NDArray[np.uint8] | None]


@dataclass(frozen=True)
class _Camera:
    """A pinhole camera; `axes` has right, up and backwards as rows."""

    eye: Floats
    axes: Floats
    zoom: float
    shift: Floats
    size: tuple[int, int]

    def rays(self, columns: Floats, rows: Floats) -> Floats:
        """Return unit directions through points of the frame, in pixels."""
        across = (columns - self.size[0] / 2) / self.zoom + self.shift[0]
        up = (self.size[1] / 2 - rows) / self.zoom + self.shift[1]
        local = np.stack([across, up, np.full_like(across, -1.0)], axis=-1)
        return _unit(local @ self.axes)


def render_preview(glb: Path, png: Path, *, size: tuple[int, int] = (960, 720)) -> None:
    """Draw the model in `glb` from a little to the side and above, as a PNG of `size` (width, height).

    Raises:
        ValueError: the file has no triangles, or too many.
    """
    body = _load(glb)
    camera = _aimed(body.corners.reshape(-1, 3), (size[0] * _FINE, size[1] * _FINE))
    canvas = _backdrop(body, camera)
    _draw(body, camera, canvas)
    pixels = np.clip(canvas, 0, 255).reshape(size[1], _FINE, size[0], _FINE, 3).mean(axis=(1, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(png, "PNG")


def _load(glb: Path) -> _Body:
    """Read all meshes of the file into one frame."""
    scene = trimesh.load_scene(str(glb), file_type="glb")
    meshes = [mesh for mesh in scene.dump() if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)]
    count = sum(len(mesh.faces) for mesh in meshes)
    if not 0 < count <= MAX_TRIANGLES:
        raise ValueError(f"{glb.name} has {count} triangles; from 1 to {MAX_TRIANGLES} can be drawn")
    looks = [_look(mesh) for mesh in meshes]
    return _Body(
        corners=np.concatenate([mesh.vertices[mesh.faces] for mesh in meshes]),
        normals=np.concatenate([_corner_normals(mesh.vertices[mesh.faces]) for mesh in meshes]),
        coordinates=np.concatenate([uv[mesh.faces] for mesh, (_, uv, _) in zip(meshes, looks, strict=True)]),
        colours=np.concatenate([rgb[mesh.faces] for mesh, (rgb, _, _) in zip(meshes, looks, strict=True)]),
        part=np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes]),
        textures=[texture for _, _, texture in looks],
    )


def _corner_normals(corners: Floats) -> Floats:
    """Return a normal for each corner: the mean around its place, or the triangle's own at a sharp edge.

    Places, not vertices, are averaged, so that the seams of a texture do not show.
    """
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    low = corners.min(axis=(0, 1))
    step = max(float((corners.max(axis=(0, 1)) - low).max()), 1e-12) / 2**20
    keys = ((corners.reshape(-1, 3) - low) / step).round().astype(np.int64) @ np.array([1, 2**21, 2**42])
    place = np.unique(keys, return_inverse=True)[1].reshape(-1)
    spread = facing.repeat(3, axis=0)
    total = np.column_stack([np.bincount(place, spread[:, axis]).astype(np.float64) for axis in range(3)])
    smooth, own = _unit(total)[place], _unit(spread)
    sharp = (smooth * own).sum(axis=1) < _SHARP
    smooth[sharp] = own[sharp]
    return smooth.reshape(-1, 3, 3)


def _unit(vectors: Floats) -> Floats:
    """Return the vectors with length 1, or 0 where they have none."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-30))


def _look(mesh: Any) -> tuple[Floats, Floats, NDArray[np.uint8] | None]:
    """Return colours and texture coordinates of a mesh's vertices, and its texture if it has one."""
    count = len(mesh.vertices)
    colours = np.tile(np.array(_GREY), (count, 1))
    uv = getattr(mesh.visual, "uv", None)
    if mesh.visual.kind != "texture":
        if mesh.visual.kind == "vertex":
            colours = np.asarray(mesh.visual.vertex_colors, float)[:, :3]
        return colours, np.zeros((count, 2)), None
    material = mesh.visual.material
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None)
    if factor is not None or picture is not None:
        colours[:] = 255.0 if factor is None else np.asarray(factor, float)[:3]
    if picture is None or uv is None:
        return colours, np.zeros((count, 2)), None
    return colours, np.asarray(uv, float), np.asarray(picture.convert("RGB"))


def _aimed(points: Floats, size: tuple[int, int]) -> _Camera:
    """Return a camera that sees all points, centred."""
    turn, rise = np.radians(_TURN), np.radians(_RISE)
    back = np.array([np.sin(turn) * np.cos(rise), np.sin(rise), np.cos(turn) * np.cos(rise)])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    axes = np.stack([right, np.cross(back, right), back])
    low, high = points.min(axis=0), points.max(axis=0)
    eye = (low + high) / 2 + back * max(float(np.linalg.norm(high - low)), 1e-9) * 2.2
    seen = (points - eye) @ axes.T
    flat = seen[:, :2] / -seen[:, 2:]
    span = np.maximum(flat.max(axis=0) - flat.min(axis=0), 1e-9)
    zoom = float(min(_FILL * size[0] / span[0], _FILL * size[1] / span[1]))
    return _Camera(eye, axes, zoom, (flat.max(axis=0) + flat.min(axis=0)) / 2, size)


def _grid(columns: range, rows: range) -> tuple[Floats, Floats]:
    """Return the centres of some of the frame's pixels."""
    across, down = np.meshgrid(np.array(columns) + 0.5, np.array(rows) + 0.5)
    return across, down


def _backdrop(body: _Body, camera: _Camera) -> Floats:
    """Return a plain studio: a light wall, darker outwards, and the object's soft shadow on the floor."""
    width, height = camera.size
    step = 4  # nothing here is sharp
    across, down = _grid(range(0, width, step), range(0, height, step))
    away = np.hypot((across - width / 2) / width, (down - height * 0.45) / height)
    light = 244.0 - 46.0 * np.clip(away, 0, 1) ** 1.5
    light = light * (1.0 - 0.5 * _shadow(body, camera, camera.rays(across, down)))
    tinted = light[..., None] * np.array([0.985, 0.993, 1.0])
    return np.asarray(tinted.repeat(step, axis=0).repeat(step, axis=1)[:height, :width])


def _shadow(body: _Body, camera: _Camera, directions: Floats) -> Floats:
    """Return how dark the floor is along each ray: what lies low above a place darkens it."""
    points = body.corners.mean(axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    reach = max(float((high - low)[[0, 2]].max()), 1e-9) * 2.0
    centre = (low + high) / 2
    cells = np.clip((points[:, [0, 2]] - centre[[0, 2]]) / reach * 128 + 64, 0, 127).astype(int)
    near = np.exp(-3.0 * (points[:, 1] - low[1]) / reach)
    plan = np.zeros((128, 128), np.float32)
    np.maximum.at(plan, (cells[:, 1], cells[:, 0]), near)
    soft = np.asarray(Image.fromarray((plan * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(5)))
    falling = directions[..., 1] < 0
    drop = np.where(falling, directions[..., 1], -1.0)
    hits = camera.eye + directions * ((low[1] - camera.eye[1]) / drop)[..., None]
    at = (hits[..., [0, 2]] - centre[[0, 2]]) / reach * 128 + 63.5
    onto = np.all((at >= 0) & (at <= 126), axis=-1) & falling
    return np.where(onto, _sampled(soft[..., None], at)[..., 0] / 255, 0.0)


def _sampled(picture: NDArray[Any], at: Floats) -> Floats:
    """Return bilinear samples of a picture at (column, row)."""
    rows, columns = picture.shape[:2]
    at = np.clip(at, 0, np.array([columns - 1, rows - 1]))
    start = np.floor(at).astype(np.int64)
    part = at - start
    end = np.minimum(start + 1, [columns - 1, rows - 1])
    across, down = part[..., :1], part[..., 1:]
    top = picture[start[..., 1], start[..., 0]] * (1 - across) + picture[start[..., 1], end[..., 0]] * across
    bottom = picture[end[..., 1], start[..., 0]] * (1 - across) + picture[end[..., 1], end[..., 0]] * across
    return np.asarray(top * (1 - down) + bottom * down)


def _draw(body: _Body, camera: _Camera, canvas: Floats) -> None:
    """Cast rays at the part of the frame where the object is, and shade what they hit."""
    scene = EmbreeScene()
    # The vertices are moved to the eye's frame first, since Embree computes in single precision.
    TriangleMesh(scene, (body.corners - camera.eye).astype(np.float32))
    columns, rows = _frame_of(body, camera)
    directions = camera.rays(*_grid(columns, rows)).reshape(-1, 3).astype(np.float32)
    hit = scene.run(np.zeros_like(directions), directions, output=True)
    struck = np.flatnonzero(hit["primID"] >= 0)
    triangle, u, v = (np.asarray(hit[name])[struck] for name in ("primID", "u", "v"))
    weights = np.stack([1.0 - u - v, u, v])[..., None]
    shaded = _colours(body, triangle, weights) * _light(body, triangle, weights, directions[struck])
    canvas[rows.start + struck // len(columns), columns.start + struck % len(columns)] = shaded


def _frame_of(body: _Body, camera: _Camera) -> tuple[range, range]:
    """Return the columns and rows of the frame that the object covers."""
    seen = (body.corners.reshape(-1, 3) - camera.eye) @ camera.axes.T
    flat = (seen[:, :2] / -seen[:, 2:] - camera.shift) * camera.zoom
    flat += np.array(camera.size) / 2
    left, bottom = np.floor(flat.min(axis=0)).astype(int) - 2
    right, top = np.ceil(flat.max(axis=0)).astype(int) + 2
    width, height = camera.size
    return range(max(0, left), min(width, right)), range(max(0, height - top), min(height, height - bottom))


def _blended(corners: Floats, triangle: NDArray[Any], weights: Floats) -> Floats:
    """Return a value for each struck point from those at its triangle's corners."""
    return np.asarray(sum(corners[triangle, corner] * weights[corner] for corner in range(3)))


def _colours(body: _Body, triangle: NDArray[Any], weights: Floats) -> Floats:
    """Return the colour of each struck point, unlit."""
    colours = _blended(body.colours, triangle, weights)
    at = _blended(body.coordinates, triangle, weights)
    for number, texture in enumerate(body.textures):
        if texture is not None:
            mine = body.part[triangle] == number
            size = np.array([texture.shape[1], texture.shape[0]])
            # The origin of trimesh's texture coordinates is the bottom left; whole turns repeat the texture.
            turned = np.column_stack([at[mine, 0], 1.0 - at[mine, 1]])
            inside = np.where((turned < 0) | (turned > 1), turned % 1.0, turned)
            colours[mine] *= _sampled(texture, inside * size - 0.5) / 255.0
    return np.asarray(colours)


def _light(body: _Body, triangle: NDArray[Any], weights: Floats, rays: NDArray[Any]) -> Floats:
    """Return the brightness of each struck point: a sky, a lamp at the upper left, and darker flanks."""
    normals = _unit(_blended(body.normals, triangle, weights))
    towards = -np.einsum("ij,ij->i", normals, rays)
    normals *= np.where(towards < 0, -1.0, 1.0)[:, None]
    lamp = np.array([-0.42, 0.62, 0.66])
    key = np.clip(normals @ (lamp / np.linalg.norm(lamp)), 0, 1)
    return np.asarray(0.52 + 0.08 * normals[:, 1] + 0.48 * key + 0.1 * np.abs(towards))[:, None]
