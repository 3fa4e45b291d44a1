"""Fit: what a producer's photo becomes before it is sent: a HEIC a JPEG, one above the limit a smaller one.

A worker never does this: it takes seconds, and hundreds of megabytes.
"""

import io
import warnings
from math import sqrt

from PIL import ExifTags, Image, ImageOps

from worker.intake.images import FORMATS, NO_IMAGE, TOO_LARGE
from worker.intake.pictures import is_heic
from worker.rules.job import MAX_IMAGE_BYTES

NO_READER = "is a HEIC photo, which needs the extra `heic`: pip install 'sam3d-worker[heic]', or send a JPEG"
QUALITY = 90
MOST_STEPS = 12
"""In which a picture gets smaller; each has at most four fifths of the edges of the one before."""

PLAIN_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
"""What a JPEG can hold, whose colours have eight bits."""


def fit(content: bytes, *, is_pinned: bool) -> tuple[bytes, str]:
    """Return a photo as a JPEG that may be sent, and what was done to it in words.

    ``is_pinned`` says that its pixels are named elsewhere, by a mask, a box or points: its size stays then. It is
    upright, whatever its tags said; of these the profile of its colours is kept.

    Raises:
        ValueError: a sentence that follows the field's name.
    """
    photo, is_turned = _upright(content)
    if is_turned and is_pinned:
        raise ValueError("is not upright, and its mask, box or points may be either way; send it turned, within 10 MiB")
    photo = _opaque(photo)
    fitted, size = _jpeg(photo, is_pinned=is_pinned)
    was = "a HEIC" if is_heic(content) else f"{len(content) / 2**20:.1f} MiB"
    scaled = "" if size == photo.size else f", scaled down from {photo.width} x {photo.height}"
    return fitted, f"was {was}; it is sent as a JPEG of {size[0]} x {size[1]} pixels{scaled}"


def _upright(content: bytes) -> tuple[Image.Image, bool]:
    """Unpack a photo, as a person sees it, and tell whether it had to be turned for that."""
    formats = [*FORMATS, "HEIF"] if is_heic(content) and _reads_heic() else FORMATS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=formats) as image:
                return ImageOps.exif_transpose(image), image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # Each format has errors of its own.
        raise ValueError(NO_IMAGE) from None


def _reads_heic() -> bool:
    """Prepare for HEIC.

    Raises:
        ValueError: what does so is not installed.
    """
    try:
        import pillow_heif
    except ImportError:
        raise ValueError(NO_READER) from None
    pillow_heif.register_heif_opener()
    return True


def _opaque(image: Image.Image) -> Image.Image:
    """Put what can be seen through on white, and bring colours of other kinds to those of a JPEG."""
    if image.mode not in PLAIN_MODES:
        raise ValueError(TOO_LARGE)
    if image.mode == "RGB":
        return image
    clear = image.convert("RGBA")
    opaque = Image.alpha_composite(Image.new("RGBA", image.size, "white"), clear).convert("RGB")
    opaque.info.clear()  # Their profile was of the other kind.
    return opaque


def _jpeg(photo: Image.Image, *, is_pinned: bool) -> tuple[bytes, tuple[int, int]]:
    """Make a JPEG of a photo, as large as it may be, and tell its size."""
    smaller = photo
    for _ in range(MOST_STEPS):
        out = io.BytesIO()
        smaller.save(out, "JPEG", quality=QUALITY, icc_profile=photo.info.get("icc_profile"), comment=b"")
        if out.tell() <= MAX_IMAGE_BYTES:
            return out.getvalue(), smaller.size
        if is_pinned:
            raise ValueError("is larger than 10 MiB, and its mask, box or points are of its size; send all smaller")
        step = min(0.8, sqrt(MAX_IMAGE_BYTES / out.tell()))
        size = (max(1, int(smaller.width * step)), max(1, int(smaller.height * step)))
        smaller = photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
    raise ValueError(TOO_LARGE)
