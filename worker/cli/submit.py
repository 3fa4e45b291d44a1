"""``sam3d submit``: photos in, and with ``--wait`` models out."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from worker.cli import given
from worker.cli.outcomes import place_of, tell
from worker.cli.previews import require_previews, with_previews
from worker.cli.show import note, print_json, say, writable_folder
from worker.client import Client, JobEvent
from worker.config.environment import load_settings
from worker.errors import InvalidMessage
from worker.rules.lifecycle import EventType

STAGES = {
    EventType.ACCEPTED: ("accepted", 10),
    EventType.SUBMITTED: ("running", 20),
    EventType.REVIEW: ("in review: a person must decide", 20),
    EventType.SUCCEEDED: ("succeeded", 100),
    EventType.FAILED: ("failed", 100),
    EventType.CANCELLED: ("cancelled", 100),
    EventType.REFUSED: ("refused", 100),
}
"""What the progress bar shows for an event: a word, and how far the job is in percent."""


def submit(
    images: Sequence[str],
    fields: Mapping[str, Any],
    *,
    is_waited_for: bool,
    folder: Path | None,
    has_preview: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Send a job for each image; all are checked before the first is sent."""
    if len(images) > 1 and (fields["idempotency_key"] or fields["job_id"]):
        raise InvalidMessage("image", "`--key` and `--job-id` name one job; send one image at a time with them.")
    if has_preview and not folder:
        raise InvalidMessage("preview", "`--preview` needs `--out`, the folder for the models and their pictures.")
    if has_preview:
        require_previews()
    asked = given.fields_of(fields)
    requests = [given.request_of(image, **asked) for image in images]
    if folder:
        writable_folder(folder)
    with Client(load_settings()) as client:
        jobs = _send_all(client, requests, images)
        if not (is_waited_for or folder):
            _tell_sent(jobs, as_json=as_json)
            return
        outcomes = _follow_all(client, jobs, timedelta(seconds=timeout))
        paths = _download(client, outcomes, folder, len(jobs))
    if has_preview:
        paths = {job_id: with_previews(made) for job_id, made in paths.items()}
    tell([_row(event, paths.get(job_id, ())) for job_id, event in outcomes.items()], len(jobs), as_json=as_json)


def _send_all(client: Client, requests: Sequence[dict[str, Any]], images: Sequence[str]) -> dict[str, str]:
    """Send the requests, and say of each which job it is as soon as it is sent, whatever happens next."""
    jobs = {}
    for request, image in zip(requests, images, strict=True):
        jobs[client.send(request)] = image
        note(f"sent {image} as job {request['job_id']}")
    return jobs


def _row(event: JobEvent, paths: Sequence[Path]) -> dict[str, Any]:
    return {**event.content, "event": event.type, "files": [str(path) for path in paths]}


def _tell_sent(jobs: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json([{"job_id": job_id, "image": image} for job_id, image in jobs.items()])
    else:
        for job_id in jobs:
            say(job_id)


def _follow_all(client: Client, jobs: dict[str, str], within: timedelta) -> dict[str, JobEvent]:
    """Show each job's events until it has an outcome; the outcomes are by image, in the order given."""
    from rich.progress import TimeElapsedColumn  # Who does not wait sees no bars.

    from worker.cli import progress

    outcomes: dict[str, JobEvent] = {}
    with progress.bars(progress.Words("stage"), TimeElapsedColumn()) as shown:
        bars = {job_id: shown.add_task(Path(image).name, total=100, stage="sent") for job_id, image in jobs.items()}
        for event in client.follow(jobs, within):
            stage, percent = STAGES[event.type]
            shown.update(bars[event.job_id], completed=percent, stage=stage)
            if event.duplicate_of:
                bars.setdefault(event.duplicate_of, bars[event.job_id])
            if event.is_outcome:
                outcomes[event.job_id] = event
    return outcomes


def _download(
    client: Client, outcomes: Mapping[str, JobEvent], folder: Path | None, sent: int
) -> dict[str, list[Path]]:
    """Write the outputs of the jobs that succeeded, of so many that were sent."""
    if folder is None:
        return {}
    succeeded = [job_id for job_id, event in outcomes.items() if event.has_succeeded]
    return {job_id: client.download(job_id, place_of(job_id, folder, sent)) for job_id in succeeded}
