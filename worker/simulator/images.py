"""Pictures in: the bytes of an image, however it was encoded, become arrays of 8-bit RGB and alpha."""

import base64
import binascii
import io
import re
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]

MAX_PIXELS = 50_000_000
MAX_SIDE = 768
_SIXTEEN_BITS = 65535.0
_DATA_URI = re.compile(r"data:[\w.+/-]*(;[\w=.+-]+)*;base64,", re.IGNORECASE)


class UnreadableImageError(ValueError):
    """The text or the bytes given are no image that can be read."""


def decode_text(text: str) -> bytes:
    """Return the bytes that a data URI or a plain base64 text stands for.

    Raises:
        UnreadableImageError: it is neither.
    """
    start = _DATA_URI.match(text)
    payload = text[start.end() :] if start else text
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnreadableImageError("it is neither a URL nor base64") from error


def open_pixels(content: bytes, max_side: int = MAX_SIDE) -> tuple[Pixels, Pixels]:
    """Decode an image, upright, its longest side at most `max_side`, into RGB (h, w, 3) and alpha (h, w).

    Raises:
        UnreadableImageError: the bytes are no image, are cut off, or are too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd files that it reads well enough.
            upright = _decode(content, max_side)
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow's decoders raise what they like on a broken file.
        raise UnreadableImageError("cannot identify image file") from error
    rgba = np.asarray(upright)
    return np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])


def full_size(content: bytes) -> tuple[int, int]:
    """Return width and height of the upright image as sent: the frame that boxes and points refer to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as image:
            turned = image.getexif().get(0x0112, 1) in {5, 6, 7, 8}
            return (image.height, image.width) if turned else (image.width, image.height)


def _decode(content: bytes, max_side: int) -> Image.Image:
    """Return the upright image as small RGBA."""
    with Image.open(io.BytesIO(content)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise UnreadableImageError("the image is too large")
        image.draft("RGB", (max_side, max_side))
        rgba = _eight_bits(ImageOps.exif_transpose(image)).convert("RGBA")
    if max(rgba.size) > max_side:
        scale = max_side / max(rgba.size)
        size = (max(1, round(rgba.width * scale)), max(1, round(rgba.height * scale)))
        rgba = rgba.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return rgba


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and floating-point greys to 8 bits; Pillow itself would clip them."""
    if image.mode not in {"I", "F"} and not image.mode.startswith("I;"):
        return image
    values = np.asarray(image, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    brightest = max(float(values.max(initial=0.0)), 1e-9)
    top = brightest if image.mode == "F" else max(_SIXTEEN_BITS, brightest)
    return Image.fromarray(np.clip(values / top * 255.0, 0, 255).astype(np.uint8))
