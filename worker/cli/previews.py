"""Pictures of models, beside them: ``--preview``; and small ones of photos. What draws them is imported then."""

import base64
import io
import logging
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from worker.cli.show import note


def require_previews() -> None:
    """Make sure that pictures can be drawn, before anything is sent or paid.

    Raises:
        ModuleNotFoundError: the extra `demo` is not installed.
    """
    import_module("worker.outputs.preview")


def with_previews(paths: Sequence[Path]) -> list[Path]:
    """Draw each GLB beside it under its name, show that, and return all files there are then."""
    drawn = (draw(path, path.with_suffix(".png")) for path in paths if path.suffix == ".glb")
    pictures = [picture for picture in drawn if picture]
    for picture in pictures:
        show(picture)
    return [*paths, *pictures]


def draw(glb: Path, picture: Path) -> Path | None:
    """Draw a model, or say why there is no picture of it: the vendor's can be of any size and shape."""
    try:
        import_module("worker.outputs.preview").render_preview(glb, picture)
    except ImportError:
        raise
    except Exception as error:
        note(f"{glb}: no picture of it: {str(error)[:200] or type(error).__name__}")
        return None
    return picture


COLUMNS = 48
"""How wide a picture is shown."""


def show(picture: Path) -> None:
    """Show a picture on a terminal that can: as pixels, or as cells of two colours. Elsewhere say nothing."""
    from rich.console import Console  # Takes long to import, and most pictures are shown to nobody.

    console = Console(stderr=True)  # What is asked for as JSON is alone on stdout.
    if not console.is_terminal or console.color_system != "truecolor":
        return
    logging.getLogger("textual_image").setLevel(logging.CRITICAL)  # It tells of each terminal that is silent.
    image = import_module("textual_image.renderable").Image
    with suppress(ArithmeticError, OSError, ValueError):  # Of terminals that say of themselves what can't be.
        console.print(image(picture, width=COLUMNS, height="auto"))


THUMBNAIL = (1200, 1200)
"""Pixels along the edges of a photo that is shown beside its model, at most."""


def thumbnail(image: str) -> bytes | None:
    """Return a small picture (WebP) of a photo, as a message carries it; None for one at an address."""
    from PIL import Image, ImageOps  # Nothing else here needs it.

    try:
        with Image.open(io.BytesIO(base64.b64decode(image, validate=True))) as opened:
            opened.draft("RGB", THUMBNAIL)
            photo = ImageOps.exif_transpose(opened).convert("RGBA")
        photo.thumbnail(THUMBNAIL)
        out = io.BytesIO()
        photo.save(out, "WEBP", quality=85)
    except Exception:  # Each format has errors of its own, and a page is one without its photo.
        return None
    return out.getvalue()
