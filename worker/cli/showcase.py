"""What the demo makes: the whole service runs for one photo, and what came of it is drawn, written and told."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from worker import embedded as service
from worker.cli.look import describe_job, print_job
from worker.cli.page import Sheet, page
from worker.cli.previews import draw, show, thumbnail
from worker.cli.progress import bars
from worker.cli.report import write_page
from worker.cli.show import brief, json_text, lasted, say
from worker.database import clocks
from worker.database.engine import transaction
from worker.errors import Sam3dError
from worker.rules.lifecycle import JobState
from worker.telemetry.logs import configure_logging


def make(request: Mapping[str, Any], folder: Path, *, is_live: bool, is_verbose: bool) -> None:
    """Have a model made of a request's photo into a folder that is there.

    Raises:
        Sam3dError: there is none, for the job's own reason.
    """
    configure_logging("ERROR")
    shown, seen_at, made = _run(request, folder, is_live=is_live)
    if is_verbose or not made:
        print_job(shown, seen_at)
    if not made:
        raise Sam3dError(f"The job is {shown['state']}: {shown['error_message']}")
    if is_verbose:
        say()
    (folder / "job.json").write_text(json_text(shown))
    drawn = next((draw(path, folder / "preview.png") for path in made if path.suffix == ".glb"), None)
    sheet = Sheet(TITLE, seen_at, [shown], "" if is_live else SIMULATED, {shown["id"]: thumbnail(request["image"])})
    write_page(page(sheet, lambda file: (folder / file["name"]).read_bytes()), folder / "index.html")
    _tell(shown, folder, made, drawn, is_live=is_live)


TITLE = "A photo, and its 3D model"
SIMULATED = (
    "A simulator made this model: it inflates the photo's silhouette, so that everything around the vendor can be "
    "tried for free."
)


def _run(
    request: Mapping[str, Any], folder: Path, *, is_live: bool
) -> tuple[Mapping[str, Any], datetime, Sequence[Path]]:
    """Run the service for one request; return all that is known of its job, when, and the files that were made."""
    with service.embedded_settings(is_live=is_live) as settings, service.running_service(settings) as app:
        with bars() as bar:
            task = bar.add_task("sent", total=1.0)
            row, made = service.reconstruct(
                app,
                request,
                folder,
                lambda seen: bar.update(task, completed=_share(seen), description=_told(seen)),
            )
        with transaction(app.services.engine) as connection:
            return describe_job(connection, row["id"]), clocks.read(connection), made


def _share(seen: service.Progress) -> float:
    return 1.0 if seen.state.is_final else min(0.95, seen.elapsed / (seen.expected + timedelta(seconds=1)))


def _told(seen: service.Progress) -> str:
    left = max(timedelta(0), seen.expected - seen.elapsed).total_seconds()
    tail = "" if seen.state.is_final else f", about {left:.0f} s left" if left else ", any moment"
    vendor = f" ({seen.remote_status.lower()})" if seen.state is JobState.PROCESSING and seen.remote_status else ""
    return f"{seen.state}{vendor}, polls: {seen.polls}{tail}"


def _tell(shown: Mapping[str, Any], folder: Path, made: Sequence[Path], drawn: Path | None, *, is_live: bool) -> None:
    """Say what there is to look at, in three lines; a terminal that can shows it above them."""
    if drawn:
        show(drawn)
    took = lasted(shown["finished_at"] - shown["accepted_at"])
    paid = f", for {brief(shown['cost'])} USD" if is_live and shown["cost"] is not None else ""
    say(f"A model in {took}{paid}. Open {folder / 'index.html'} in a browser and turn it.")
    names = [path.name for path in [*made, *filter(None, [drawn])]]
    say(f"Beside it: {', '.join(names)}, job.json.")
    if not is_live:
        say("A simulator made it, of the photo's silhouette. A real one: SEGMIND_API_KEY=SG_… sam3d demo --live PHOTO")
