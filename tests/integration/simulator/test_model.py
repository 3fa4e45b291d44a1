"""The stand-in model: the hints are respected, the files are valid, and odd images do not stop it."""

import io
import json
import struct
import zipfile
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from worker.simulator.artifacts import make_files
from worker.simulator.images import UnreadableImageError
from worker.simulator.model import Hint, separate

PHOTOS = files("worker.photos")
COFFEE = (PHOTOS / "coffee.png").read_bytes()
CAT = (PHOTOS / "cat.png").read_bytes()


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Return an image as a file."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def two_discs() -> Image.Image:
    """Return a picture of a red disc at the left and a blue one at the right, on grey."""
    pixels = np.full((200, 400, 3), 128, np.uint8)
    cv2.circle(pixels, (100, 100), 50, (220, 30, 30), -1)
    cv2.circle(pixels, (300, 100), 50, (30, 30, 220), -1)
    return Image.fromarray(pixels)


def found(image: bytes, hint: Hint) -> NDArray[np.bool_]:
    """Return the object's silhouette."""
    return np.asarray(separate(image, hint).silhouette > 0.5)


def centre_of(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the silhouette's centre as shares of width and height."""
    rows, columns = np.nonzero(mask)
    return float(columns.mean() / mask.shape[1]), float(rows.mean() / mask.shape[0])


def mesh_of(glb: bytes) -> Any:
    """Return the one mesh of a GLB, with nothing repaired."""
    scene = trimesh.load_scene(io.BytesIO(glb), file_type="glb", process=False)
    (mesh,) = scene.geometry.values()
    return mesh


@pytest.mark.parametrize("photo", [COFFEE, CAT], ids=["coffee", "cat"])
def test_photos_become_closed_textured_models(photo: bytes) -> None:
    """The GLB is closed, faces outwards, has a texture, and says that it is a stand-in."""
    glb = make_files(photo, Hint(), 123).glb
    mesh = mesh_of(glb)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert max(mesh.visual.material.baseColorTexture.size) <= 768
    (length,) = struct.unpack_from("<I", glb, 12)
    document = json.loads(glb[20 : 20 + length])
    assert document["asset"]["extras"]["stand_in"] is True
    assert document["materials"][0]["pbrMetallicRoughness"]["metallicFactor"] == 0


def test_cup_and_saucer_are_found_whole() -> None:
    """Red saucer and white cup belong to the object; the table does not."""
    mask = found(COFFEE, Hint())
    rows, columns = mask.shape
    at = {name: mask[int(y * rows / 400), int(x * columns / 600)] for name, (x, y) in PLACES.items()}
    assert at == {
        "cup": True,
        "rim": True,
        "left": True,
        "right": True,
        "foot": True,
        "table": False,
        "dark": False,
    }


PLACES = {
    "cup": (290, 140),
    "rim": (290, 30),
    "left": (100, 210),
    "right": (450, 230),
    "foot": (270, 365),
    "table": (540, 120),
    "dark": (40, 40),
}


def test_same_inputs_and_seed_make_the_same_bytes() -> None:
    """The model is deterministic; the seed alters the depth a little."""
    first, second, other = (make_files(COFFEE, Hint(), seed) for seed in (1, 1, 2))
    assert first == second
    depths = [float(mesh_of(made.glb).extents[2]) for made in (first, other)]
    assert depths[0] != depths[1]
    assert depths[0] == pytest.approx(depths[1], rel=0.5)


def test_box_and_points_choose_the_object() -> None:
    """Nothing outside the box; the disc under the point."""
    image = encoded(two_discs())
    left = found(image, Hint(box=(40, 40, 160, 160)))
    right = found(image, Hint(points=((300, 100),)))
    assert centre_of(left) == pytest.approx((0.25, 0.5), abs=0.03)
    assert centre_of(right) == pytest.approx((0.75, 0.5), abs=0.03)
    disc = np.pi * 50**2 / (200 * 400)
    assert [left.mean(), right.mean()] == pytest.approx([disc, disc], rel=0.35)


@pytest.mark.parametrize("size", [(400, 200), (80, 40)])
def test_mask_is_taken_as_it_is(size: tuple[int, int]) -> None:
    """The object is where the mask is white, whatever the mask's size."""
    mask = Image.new("L", (400, 200), 0)
    mask.paste(255, (20, 20, 120, 180))
    small = encoded(mask.resize(size))
    silhouette = found(encoded(two_discs()), Hint(mask=small))
    assert centre_of(silhouette) == pytest.approx((70 / 400, 0.5), abs=0.02)
    assert silhouette.mean() == pytest.approx(0.2, rel=0.1)


def test_alpha_is_a_mask() -> None:
    """The opaque part of a cut-out is the object."""
    image = two_discs().convert("RGBA")
    alpha = Image.new("L", image.size, 0)
    alpha.paste(255, (250, 50, 350, 150))
    image.putalpha(alpha)
    assert centre_of(found(encoded(image), Hint())) == pytest.approx((0.75, 0.5), abs=0.02)


def test_rotation_in_the_file_is_obeyed() -> None:
    """A photo taken upright by a turned camera is an upright photo, and points refer to it."""
    turned = two_discs().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = encoded(turned, "JPEG", exif=exif, quality=95)
    silhouette = found(image, Hint(points=((300, 100),)))
    assert silhouette.shape[1] > silhouette.shape[0]
    assert centre_of(silhouette) == pytest.approx((0.75, 0.5), abs=0.03)


def sixteen_bits() -> bytes:
    """Return a 16-bit grey image."""
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    return encoded(Image.fromarray(ramp))


ODD = {
    "one pixel": encoded(Image.new("RGB", (1, 1), "red")),
    "flat": encoded(Image.new("RGB", (300, 200), "white")),
    "a line": encoded(Image.new("RGB", (2000, 1), "blue")),
    "a tall line": encoded(Image.new("RGB", (1, 2000), "blue")),
    "grey": encoded(two_discs().convert("L")),
    "palette": encoded(two_discs().convert("P")),
    "palette with a hole": encoded(two_discs().convert("P"), transparency=0),
    "grey and alpha": encoded(two_discs().convert("LA")),
    "black and white": encoded(two_discs().convert("1")),
    "16 bits": sixteen_bits(),
    "CMYK": encoded(two_discs().convert("CMYK"), "JPEG"),
    "transparent": encoded(Image.new("RGBA", (50, 50), (9, 9, 9, 0))),
    "WebP": encoded(two_discs(), "WEBP"),
    "GIF": encoded(two_discs(), "GIF"),
    "floats": encoded(Image.fromarray(np.random.default_rng(1).random((30, 40), dtype=np.float32)), "TIFF"),
    "noise": encoded(Image.fromarray(np.random.default_rng(1).integers(0, 255, (90, 120, 3)).astype(np.uint8))),
}
HINTS = {
    "none": Hint(),
    "box outside": Hint(box=(10_000, 10_000, 20_000, 20_000)),
    "point outside": Hint(points=((-5, 99_999),)),
    "empty mask": Hint(mask=encoded(Image.new("L", (5, 5), 0))),
    "full mask": Hint(mask=encoded(Image.new("L", (5, 5), 255))),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_images_become_closed_models(name: str) -> None:
    """Whatever can be decoded makes a valid model."""
    mesh = mesh_of(make_files(ODD[name], Hint(), 5).glb)
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert np.isfinite(mesh.vertices).all()


@pytest.mark.parametrize("hint", HINTS)
def test_useless_hints_become_closed_models(hint: str) -> None:
    """A hint that names nothing does not stop the model."""
    for image in (ODD["one pixel"], encoded(two_discs())):
        assert mesh_of(make_files(image, HINTS[hint], 5).glb).is_watertight


@pytest.mark.parametrize("content", [b"", b"no image", COFFEE[:5000]], ids=["empty", "text", "cut off"])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    """Broken files are told from odd ones."""
    with pytest.raises(UnreadableImageError):
        make_files(content, Hint(), 1)


def test_artifacts_are_a_zip_of_three() -> None:
    """Mask and depth are images of one size; the facts are JSON."""
    archive = zipfile.ZipFile(io.BytesIO(make_files(COFFEE, Hint(), 1).zip))
    assert archive.testzip() is None
    assert archive.namelist() == ["mask.png", "depth.png", "object.json"]
    sizes = {Image.open(archive.open(name)).size for name in ("mask.png", "depth.png")}
    assert len(sizes) == 1
    assert json.load(archive.open("object.json"))["triangles"] > 1000
