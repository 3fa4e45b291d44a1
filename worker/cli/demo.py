"""``sam3d demo``: a photo in, a model and a page to turn it out, on nothing but this machine."""

import signal
import sys
from pathlib import Path

from worker.cli.given import request_of
from worker.cli.previews import require_previews
from worker.cli.show import note, writable_folder
from worker.photos import COFFEE


def demo(photo: Path | None, prompt: str | None, folder: Path, *, is_live: bool, is_verbose: bool) -> None:
    """Make a 3D model of a photo with the whole service in this process."""
    request = request_of(photo or COFFEE, prompt=prompt)
    require_previews()
    writable_folder(folder)
    # What was started here is stopped here, however the demo ends.
    for ended_by in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended_by, lambda number, _: sys.exit(128 + number))
    note("Starting PostgreSQL, a worker and " + ("the vendor's client." if is_live else "a simulated vendor."))
    from worker.cli import showcase  # The whole service takes longer to import than a command may to start.

    showcase.make(request, folder, is_live=is_live, is_verbose=is_verbose)
