"""What each step does to the outside world; returns an ``Outcome``. Knows nothing of Celery, commits nothing."""

import base64
import random
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from worker.answers import RemoteStatus, RunStatus
from worker.errors import (
    AccountHeld,
    OutputBroken,
    OutputUnusable,
    PermanentError,
    RemoteJobFailed,
    RemoteRateLimited,
    Sam3dError,
    SubmitUnknown,
    TransientError,
)
from worker.job import Job
from worker.lifecycle import Advance, Fail, Hold, JobState, Outcome, Snooze, Step, StoredFile, Trigger
from worker.network import deadline
from worker.schedule import NOW, first_poll, next_attempt, next_poll, window_opens
from worker.services import Services
from worker.storage import with_unique_names

BROKEN_FILES = 6
"""An output that arrived broken so often is broken where it is kept."""


def submit(services: Services, job: Job) -> Outcome:
    """Start the paid run.

    Safe to run twice because a job is taken for a submit only out of ``accepted``, in the transaction that
    writes the intent: the second time finds nothing to take.
    """
    sent = {file.name: file.url or base64.b64encode(file.content or b"").decode() for file in job.files}
    submitted = services.vendor.submit({**job.parameters, **sent})
    due_in = first_poll(services.settings.sam3d_expected_run)
    return Advance(Trigger.ANSWERED, due_in, {"request_id": submitted.request_id, "remote_status": "QUEUED"})


def poll(services: Services, job: Job) -> Outcome:
    """Look at the run once. Safe to run twice because looking changes nothing."""
    run = services.vendor.status(_request_id(job))
    seen = {"remote_status": run.status, "polls": job.polls + 1}
    match run.status:
        case RemoteStatus.COMPLETED:
            return Advance(Trigger.COMPLETED, columns={**seen, "metrics": dict(run.metrics)})
        case RemoteStatus.FAILED:
            return Fail(
                Trigger.ENDED, RemoteJobFailed.code, _why_failed(job, run), {**seen, "metrics": dict(run.metrics)}
            )
        case RemoteStatus.QUEUED | RemoteStatus.PROCESSING | RemoteStatus.UNRECOGNISED:
            if job.age > services.settings.sam3d_processing_deadline:
                return Fail(Trigger.ENDED, "remote_timeout", _NO_END, seen)
            due_in = next_poll(job.age, services.settings.sam3d_expected_run)
            return Snooze(due_in, f"the run, {run.status.lower()}", columns={**seen, "attempts": 0})


_NO_END = "The run did not end within SAM3D_PROCESSING_DEADLINE; the vendor forgets it after an hour. Send a new job."


def _why_failed(job: Job, run: RunStatus) -> str:
    """Quote the vendor's reason, without what it may quote itself: an address, or the prompt."""
    prompt = re.escape(job.parameters.get("prompt", "")) or r"(?!)"
    said = re.sub(rf"{prompt}|\S+://\S+", "…", run.error or "")
    said = "".join(character for character in said if character.isprintable())[:300]
    return f"The run failed and was not charged. The vendor says: {said or 'nothing'}"


def fetch(services: Services, job: Job) -> Outcome:
    """Download the outputs. Safe to run twice because they become the job's only with its success."""
    result = services.vendor.result(_request_id(job))
    if result.run.status is RemoteStatus.FAILED:
        raise RemoteJobFailed(_why_failed(job, result.run))
    if result.run.status is not RemoteStatus.COMPLETED:
        return Snooze(next_attempt(job.attempts, random.random()), "the result", is_attempt=True)
    if not result.addresses:
        raise OutputUnusable("The run completed, but its result names no output.")
    metrics = dict(result.run.metrics)
    columns = {"metrics": metrics, "cost": metrics.get("cost"), "remote_status": RemoteStatus.COMPLETED}
    return Advance(Trigger.STORED, columns=columns, files=_download_all(services, result.addresses))


def _download_all(services: Services, addresses: tuple[str, ...]) -> tuple[StoredFile, ...]:
    """Download every output or none."""
    with ExitStack() as undone, deadline(services.settings.sam3d_download_deadline):
        files = []
        for address in addresses:
            files.append(services.downloads.fetch(address))
            undone.callback(files[-1].content.close)
        undone.pop_all()
        return tuple(with_unique_names(files))


def _request_id(job: Job) -> str:
    if job.request_id is None:
        raise AssertionError(f"a job in {job.state} has a request id; the database checks it")
    return job.request_id


RUN: Mapping[Step, Callable[[Services, Job], Outcome]] = {
    Step.SUBMIT: submit,
    Step.POLL: poll,
    Step.FETCH: fetch,
}
"""What runs for each step."""


def react(services: Services, job: Job, error: Sam3dError) -> Outcome:
    """Turn an error of a step into its outcome; what is not listed here is a bug and is not caught."""
    match error:
        case AccountHeld():
            # A job that is not submitted yet waits without a message, for the account; a run does not wait for us.
            due_in = NOW if job.state is JobState.SUBMITTING else services.settings.sam3d_probe_interval
            return Hold(error.cause, str(error), due_in)
        case SubmitUnknown():
            return _unknown(services, job, error)
        case RemoteRateLimited():
            return Snooze(window_opens(error.reset_at, job.observed_at), "the vendor's request limit")
        case TransientError():
            return _again(services, job, error)
        case PermanentError():
            trigger = Trigger.REFUSED if job.state is JobState.SUBMITTING else Trigger.ENDED
            return Fail(trigger, error.code, str(error))
    raise error


def _unknown(services: Services, job: Job, error: SubmitUnknown) -> Outcome:
    """Follow the setting for a 5xx, which the vendor says may be sent again; all else is for a person."""
    settings = services.settings
    server_errors = job.server_errors + error.is_server_error
    may_repeat = error.is_server_error and settings.sam3d_submit_server_error == "retry"
    if may_repeat and server_errors < settings.sam3d_submit_attempts:
        due_in = next_attempt(job.attempts, random.random())
        return Snooze(due_in, str(error), is_attempt=True, columns={"server_errors": server_errors})
    return Fail(Trigger.UNKNOWN, error.code, str(error))


def _again(services: Services, job: Job, error: TransientError) -> Outcome:
    """Try again later, but not for ever: a run is forgotten after an hour, a broken file stays broken."""
    is_forgotten = job.state is JobState.PROCESSING and job.age > services.settings.sam3d_processing_deadline
    broken = job.broken_files + isinstance(error, OutputBroken)
    if is_forgotten or broken >= BROKEN_FILES:
        return Fail(Trigger.ENDED, error.code, str(error))
    columns = {"broken_files": broken}
    return Snooze(next_attempt(job.attempts, random.random()), str(error), is_attempt=True, columns=columns)
