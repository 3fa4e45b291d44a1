"""What each step does to the outside world; returns an ``Outcome``. Knows nothing of Celery, commits nothing."""

import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from worker.answers import RemoteStatus, RunResult, RunStatus
from worker.budget import Terms, lowered
from worker.errors import (
    AccountHeld,
    HistoryMissing,
    OutputBroken,
    OutputUnusable,
    PermanentError,
    RemoteJobFailed,
    RemoteRateLimited,
    RemoteRequestGone,
    RemoteUnavailable,
    Sam3dError,
    SubmitUnknown,
    TransientError,
)
from worker.history import Listed
from worker.job import Job
from worker.lifecycle import JobState, Step, Trigger
from worker.network import deadline
from worker.outcome import Advance, Doubt, Fail, Hold, Limited, Outcome, Snooze, StoredFile
from worker.quoting import quoted
from worker.schedule import OUTPUT_LIFETIME, named_reset, next_attempt, window_opens
from worker.services import Services
from worker.storage import with_unique_names

BROKEN_FILES = 6
"""An output that arrived broken so often is broken where it is kept."""

EARLY_GONE = 3
"""A request that is not known so often, though it can't have expired yet, is not known."""


def submit(services: Services, job: Job) -> Outcome:
    """Start the paid run.

    Safe to run twice because a job is taken for a submit only out of ``accepted``, in the transaction that
    writes the intent: the second time finds nothing to take.
    """
    due_in = services.outlook.terms().plan.first  # Before the POST: nothing stands between its answer and the commit.
    submitted = services.vendor.submit(job.inputs)
    columns = {"request_id": submitted.request_id, "remote_status": "QUEUED"}
    return Advance(Trigger.ANSWERED, due_in, columns, http_status=submitted.http_status)


def poll(services: Services, job: Job) -> Outcome:
    """Look at the run once. Safe to run twice because looking changes nothing."""
    return seen(services, job, _status(services, job), polls=1)


def seen(services: Services, job: Job, run: RunStatus, polls: int = 0) -> Outcome:
    """Return what a look at a run leads to; ``polls`` is how many it took."""
    columns: dict[str, Any] = {"remote_status": run.status, "polls": job.polls + polls}
    over = {**columns, "metrics": dict(run.metrics)}
    match run.status:
        case RemoteStatus.COMPLETED:
            return Advance(Trigger.COMPLETED, columns=over)
        case RemoteStatus.FAILED:
            return Fail(Trigger.ENDED, RemoteJobFailed.code, _why_failed(job, run), over)
        case RemoteStatus.QUEUED | RemoteStatus.PROCESSING | RemoteStatus.UNRECOGNISED:
            if job.age > services.settings.sam3d_processing_deadline:
                return Fail(Trigger.ENDED, "remote_timeout", _NO_END, columns)
            due_in = services.outlook.terms().plan.next(job.age, is_queued=run.status is RemoteStatus.QUEUED)
            columns |= {"attempts": 0, "running_at": job.observed_at}
            return Snooze(due_in, f"the run, {run.status.lower()}", columns=columns)


_NO_END = "The run did not end within SAM3D_PROCESSING_DEADLINE; the vendor forgets it after an hour. Send a new job."


def _why_failed(job: Job, run: RunStatus) -> str:
    """Quote the vendor's reason."""
    return f"The run failed and was not charged. The vendor says: {quoted(run.error, job.parameters) or 'nothing'}"


def fetch(services: Services, job: Job) -> Outcome:
    """Download the outputs. Safe to run twice because they become the job's only with its success."""
    result = _result(services, job)
    if result.run.status is RemoteStatus.FAILED:
        raise RemoteJobFailed(_why_failed(job, result.run))
    if result.run.status is not RemoteStatus.COMPLETED:
        raise RemoteUnavailable("The run is over, but its result is not there yet.")
    if not result.addresses:
        raise OutputUnusable("The run completed, but its result names no output.")
    metrics = dict(result.run.metrics)
    columns = {"metrics": metrics, "cost": metrics.get("cost"), "remote_status": RemoteStatus.COMPLETED}
    return Advance(Trigger.STORED, columns=columns, files=_download_all(services, result.addresses))


def _status(services: Services, job: Job) -> RunStatus:
    """Look at the run, in the request history once its record has expired."""
    try:
        return services.vendor.status(_request_id(job))
    except RemoteRequestGone as gone:
        return _rescue(services, job, gone).run


def _result(services: Services, job: Job) -> RunResult:
    """Read the result, from the request history once its record has expired: the files live longer."""
    try:
        return services.vendor.result(_request_id(job))
    except RemoteRequestGone as gone:
        return _rescue(services, job, gone)


def _rescue(services: Services, job: Job, gone: RemoteRequestGone) -> RunResult:
    """Find a run whose record has expired in the request history.

    Raises:
        RemoteRequestGone: it is not listed, or there is no history.
        RemoteUnavailable: the history does not answer now, or the record can't have expired yet.
    """
    listed = _listed(services, job)
    if listed:
        metrics = {} if listed.cost is None else {"cost": float(listed.cost)}
        return RunResult(RunStatus(listed.status, metrics, listed.error), listed.addresses)
    if job.age < services.settings.sam3d_processing_deadline and job.attempts < EARLY_GONE:
        raise RemoteUnavailable("The vendor does not know the request (404), though its hour is not over.") from gone
    raise gone


def _listed(services: Services, job: Job) -> Listed | None:
    """Look a run up in the request history, if there is one."""
    if services.settings.sam3d_history == "off":
        return None
    try:
        return services.vendor.listed(_request_id(job), wants_all=bool(job.parameters.get("include_artifacts")))
    except HistoryMissing:
        return None


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
            return Hold(error.cause, _explained(job, error), is_certain=error.is_certain)
        case SubmitUnknown():
            return Doubt(str(error), error.http_status)
        case RemoteRateLimited():
            return _limited(services.outlook.terms(), job, error)
        case TransientError():
            return _again(job, error)
        case PermanentError():
            trigger = Trigger.REFUSED if job.state is JobState.SUBMITTING else Trigger.ENDED
            return Fail(trigger, error.code, _explained(job, error))
    raise error


def _explained(job: Job, error: Sam3dError) -> str:
    """Say what is wrong, and what the vendor says of it."""
    said = quoted(error.said, job.parameters)
    return f"{error} The vendor says: {said}" if said else str(error)


def _limited(terms: Terms, job: Job, error: RemoteRateLimited) -> Limited:
    """Wait for the vendor's next window, and learn from when this one was used up."""
    opens_in = window_opens(error.reset_at, job.observed_at)
    is_told = named_reset(error.reset_at, job.observed_at) is not None
    closes_reads = terms.reads_count is True or job.state is not JobState.SUBMITTING
    learnt = lowered(terms.limit, opens_in, is_told=is_told) if terms.limit else None
    return Limited(opens_in, is_told=is_told, closes_reads=closes_reads, learnt_limit=learnt)


def _again(job: Job, error: TransientError) -> Outcome:
    """Try again later, but not for ever: the vendor's files live a week, a broken one stays broken."""
    broken = job.broken_files + isinstance(error, OutputBroken)
    if job.age > OUTPUT_LIFETIME or broken >= BROKEN_FILES:
        return Fail(Trigger.ENDED, error.code, str(error))
    columns = {"broken_files": broken}
    return Snooze(next_attempt(job.attempts, random.random()), str(error), is_attempt=True, columns=columns)
