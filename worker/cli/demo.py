"""``sam3d demo``: a photo in, a model and a picture of it out, on nothing but this machine."""

import signal
import sys
from datetime import timedelta
from pathlib import Path

from worker import embedded as service
from worker.cli.given import request_of
from worker.cli.look import describe_job, print_job
from worker.cli.progress import bars
from worker.cli.show import json_text, note, say, writable_folder
from worker.database import clocks
from worker.database.engine import transaction
from worker.errors import Sam3dError
from worker.rules.lifecycle import JobState
from worker.telemetry.logs import configure_logging


def demo(photo: Path | None, prompt: str | None, folder: Path, *, is_live: bool) -> None:
    """Make a 3D model of a photo with the whole service in this process."""
    configure_logging("ERROR")
    request = request_of(photo or service.PHOTO, prompt=prompt)
    writable_folder(folder)
    # What was started here is stopped here, however the demo ends.
    for ended_by in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended_by, lambda number, _: sys.exit(128 + number))
    note("Starting PostgreSQL, a worker and " + ("the vendor's client." if is_live else "a simulated vendor."))
    with service.embedded_settings(is_live=is_live) as settings, service.running_service(settings) as app:
        with bars() as bar:
            task = bar.add_task("sent", total=1.0)
            row, files = service.reconstruct(
                app,
                request,
                folder,
                lambda seen: bar.update(task, completed=_share(seen), description=_told(seen)),
            )
        with transaction(app.services.engine) as connection:
            shown, seen_at = describe_job(connection, row["id"]), clocks.read(connection)
    print_job(shown, seen_at)
    if not files:
        raise Sam3dError(f"The job is {row['state']}: {row['error_message']}")
    history = folder / "job.json"
    history.write_text(json_text(shown))
    _tell(files, folder, history, is_live=is_live)


def _share(seen: service.Progress) -> float:
    return 1.0 if seen.state.is_final else min(0.95, seen.elapsed / (seen.expected + timedelta(seconds=1)))


def _told(seen: service.Progress) -> str:
    left = max(timedelta(0), seen.expected - seen.elapsed).total_seconds()
    tail = "" if seen.state.is_final else f", about {left:.0f} s left" if left else ", any moment"
    vendor = f" ({seen.remote_status.lower()})" if seen.state is JobState.PROCESSING and seen.remote_status else ""
    return f"{seen.state}{vendor}, polls: {seen.polls}{tail}"


def _tell(files: list[Path], folder: Path, history: Path, *, is_live: bool) -> None:
    """Render the model and say what there is to look at."""
    from worker.outputs.preview import render_preview  # An extra that a worker does not need.

    picture = folder / "preview.png"
    say()
    say(f"model    {files[0]}")
    try:
        render_preview(files[0], picture)
        say(f"preview  {picture}")
    except ValueError as error:  # A live model can be of any size and shape.
        say(f"preview  none: {error}")
    say(f"history  {history}")
    if not is_live:
        say()
        say(
            "A simulator made this model: it inflates the photo's silhouette, so that everything around the vendor "
            "can be tried for free."
        )
        say("For a real one:  SEGMIND_API_KEY=SG_… sam3d demo --live PHOTO")
