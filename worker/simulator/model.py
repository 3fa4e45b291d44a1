"""The stand-in model: separates the object of a photo from its background. It knows nothing of SAM 3D.

OpenCV's grabCut finds the object by colours and sharpness, starting from whatever hint there is: a mask, a
box, points, an alpha channel, or else the middle of the photo.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .images import Pixels, full_size, open_pixels

Field = NDArray[np.float32]

LONG_SIDE = 144
SHORT_SIDE = 12
_CUT_SIDE = 128
_ROUNDS = 4
_OPAQUE = 128


@dataclass(frozen=True)
class Hint:
    """What names the object. Coordinates are pixels of the photo as sent."""

    mask: bytes | None = None
    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Cutout:
    """A photo and where its object is."""

    rgb: Pixels
    silhouette: Field  # (h, w), 0 to 1, smooth; above 0.5 is the object


def separate(image: bytes, hint: Hint) -> Cutout:
    """Find the object of `image`. The same arguments give the same answer.

    Raises:
        UnreadableImageError: `image` or the mask is no image.
    """
    rgb, alpha = open_pixels(image)
    given = _given_mask(hint, alpha)
    small = _shrink(rgb, _CUT_SIDE)
    if given is None:
        trimap = _trimap(hint, full_size(image), (small.shape[0], small.shape[1]))
        found = _cut(small, trimap)
    else:
        found = _largest(_shrink(given, LONG_SIDE) >= _OPAQUE, None)
    if not found.any():
        found = _middle(found.shape[0], found.shape[1], 0.9) < 1.0
    return Cutout(rgb, _smooth(found, _grid_size(rgb.shape[1], rgb.shape[0])))


def _given_mask(hint: Hint, alpha: Pixels) -> Pixels | None:
    """Return the mask that came with the photo: the mask image, else an alpha channel that says anything."""
    if hint.mask is not None:
        rgb, mask_alpha = open_pixels(hint.mask)
        grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        chosen = mask_alpha if _divides(mask_alpha) and not _divides(grey) else np.minimum(grey, mask_alpha)
        size = (alpha.shape[1], alpha.shape[0])
        return np.asarray(cv2.resize(chosen, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if hint.box is None and not hint.points and _divides(alpha):
        return alpha
    return None


def _divides(mask: Pixels) -> bool:
    """Return whether some of the mask is object and some is not."""
    return bool(mask.min() < _OPAQUE <= mask.max())


def _grid_size(width: int, height: int) -> tuple[int, int]:
    """Return columns and rows of the grid that the object's shape is computed on."""
    scale = LONG_SIDE / max(width, height)
    return max(SHORT_SIDE, round(width * scale)), max(SHORT_SIDE, round(height * scale))


def _shrink(pixels: Pixels, side: int) -> Pixels:
    """Resize to a longest side of `side`."""
    scale = side / max(pixels.shape[:2])
    size = (max(SHORT_SIDE, round(pixels.shape[1] * scale)), max(SHORT_SIDE, round(pixels.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _middle(rows: int, columns: int, reach: float) -> Field:
    """Return each pixel's distance from the centre, 1.0 on an ellipse that spans `reach` of the frame."""
    y, x = np.ogrid[0:rows, 0:columns]
    across = (2 * x + 1 - columns) / (columns * reach)
    down = (2 * y + 1 - rows) / (rows * reach)
    return np.hypot(across, down).astype(np.float32)


def _trimap(hint: Hint, frame: tuple[int, int], shape: tuple[int, int]) -> Pixels:
    """Return the first guess for grabCut: what surely, and what probably, is object and background."""
    scale = np.array([shape[1] / frame[0], shape[0] / frame[1]])
    if hint.box is not None:
        return _box_trimap(np.array(hint.box).reshape(2, 2) * scale, shape)
    if hint.points:
        return _points_trimap(np.array(hint.points) * scale, shape)
    return _rings(_middle(*shape, 1.0), possible=1.1, likely=0.9, sure=0.5)


def _rings(distance: Field, *, possible: float, likely: float, sure: float) -> Pixels:
    """Return a trimap that is surer of the object the smaller the distance."""
    trimap = np.full(distance.shape, cv2.GC_BGD, np.uint8)
    trimap[distance < possible] = cv2.GC_PR_BGD
    trimap[distance < likely] = cv2.GC_PR_FGD
    trimap[distance < sure] = cv2.GC_FGD
    return trimap


def _box_trimap(corners: NDArray[np.float64], shape: tuple[int, int]) -> Pixels:
    """Return a trimap in which nothing outside the box is object."""
    trimap = np.full(shape, cv2.GC_BGD, np.uint8)
    left, top = np.floor(np.clip(corners[0], 0, [shape[1] - 1, shape[0] - 1])).astype(int)
    right, bottom = np.ceil(np.clip(corners[1], [left + 1, top + 1], [shape[1], shape[0]])).astype(int)
    inside = _middle(bottom - top, right - left, 1.0)
    trimap[top:bottom, left:right] = _rings(inside, possible=2.0, likely=1.1, sure=0.4)
    return trimap


def _points_trimap(points: NDArray[np.float64], shape: tuple[int, int]) -> Pixels:
    """Return a trimap that trusts the points, and what is near them more than what is far."""
    y, x = np.ogrid[0 : shape[0], 0 : shape[1]]
    points = np.clip(points, 0, [shape[1] - 1, shape[0] - 1])
    away = np.min([np.hypot(x - px, y - py) for px, py in points], axis=0) / max(shape)
    return _rings(away.astype(np.float32), possible=0.45, likely=0.13, sure=0.04)


def _features(rgb: Pixels) -> Pixels:
    """Return what tells an object apart: sharpness, since backgrounds are often blurred, and two colours."""
    lab = cv2.cvtColor(cv2.GaussianBlur(rgb, (0, 0), 1.0), cv2.COLOR_RGB2LAB).astype(np.float32)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = cv2.GaussianBlur(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.5)), (0, 0), 4.0)
    sharpness = detail / max(float(detail.max()), 1.0) * 153.0
    colours = lab[..., 1:] * 2.0 - 128.0
    return np.asarray(np.clip(np.dstack([sharpness, colours]), 0, 255), np.uint8)


def _cut(rgb: Pixels, trimap: Pixels) -> NDArray[np.bool_]:
    """Run grabCut from the trimap and keep the one piece that the hint touches."""
    sure = trimap == cv2.GC_FGD
    likely = sure | (trimap == cv2.GC_PR_FGD)
    if rgb.max() - rgb.min() < 2 or not sure.any() or likely.all():
        return np.asarray(likely, np.bool_)
    possible = trimap != cv2.GC_BGD
    # One thread and a fixed seed, since grabCut starts from random clusters: the same photo, the same object.
    cv2.setNumThreads(1)
    cv2.setRNGSeed(1)
    scratch = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(_features(rgb), trimap, (0, 0, 0, 0), *scratch, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    piece = _largest((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD), sure)
    return np.asarray(_tidy(piece, sure) & possible)


def _largest(mask: NDArray[np.bool_], hint: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return the largest piece of the mask that touches the hint, without its holes."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = np.asarray(stats)[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    if hint is not None:
        touched = np.bincount(np.asarray(labels)[hint], minlength=count) > 0
        areas[~touched] = 0
    if not areas.any():
        return np.zeros_like(mask)
    return _filled(np.asarray(labels) == int(areas.argmax()))


def _filled(piece: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the holes of one piece."""
    outline, _ = cv2.findContours(piece.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    canvas = np.zeros(piece.shape, np.uint8)
    return np.asarray(cv2.drawContours(canvas, outline, -1, 1, cv2.FILLED)) > 0


def _tidy(piece: NDArray[np.bool_], sure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close bays and cut off spikes, in proportion to the size of the piece."""
    reach = int(0.35 * np.sqrt(piece.sum())) | 1
    room = cv2.copyMakeBorder(piece.astype(np.uint8), reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    round_brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    small_brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach // 3 | 1, reach // 3 | 1))
    closed = cv2.morphologyEx(room, cv2.MORPH_CLOSE, round_brush)
    opened = np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, small_brush))
    return _largest(opened[reach:-reach, reach:-reach] > 0, sure)


def _smooth(found: NDArray[np.bool_], size: tuple[int, int]) -> Field:
    """Return the silhouette on the grid, blurred so that its outline at 0.5 has no stairs."""
    large = cv2.resize(found.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(large, (0, 0), 1.6, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft if np.max(soft) > 0.55 else large, np.float32)
