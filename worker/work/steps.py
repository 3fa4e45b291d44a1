"""What each step does to the outside world; returns an ``Outcome``. Knows nothing of Celery, commits nothing."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from worker.errors import (
    AccountHeld,
    OutputMissing,
    PermanentError,
    RemoteJobFailed,
    RemoteRateLimited,
    RemoteRequestGone,
    Sam3dError,
    SubmitUnknown,
    TransientError,
)
from worker.rules.budget import Terms, lowered
from worker.rules.expiry import last_looks
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Step, Trigger
from worker.rules.outcome import Advance, Doubt, Fail, Hold, Lesson, Limited, Outcome, Snooze
from worker.rules.plan import LONGEST_RETRY, NOW, named_reset, next_attempt, window_opens
from worker.vendor.answers import RemoteStatus, RunResult, RunStatus
from worker.vendor.quoting import SAYS, quoted
from worker.work.collecting import are_files_gone, collect
from worker.work.looking import look
from worker.work.looking import result as read_result
from worker.work.services import Services


def submit(services: Services, job: Job) -> Outcome:
    """Start the paid run.

    Safe to run twice because a job is taken for a submit only out of ``accepted``, in the transaction that
    writes the intent: the second time finds nothing to take.
    """
    due_in = services.outlook.terms().plan.first  # Before the POST: nothing stands between its answer and the commit.
    submitted = services.vendor.submit(job.inputs)
    columns = {"request_id": submitted.request_id, "vendor_submitted_at": submitted.answered_at}
    columns |= {"remote_status": "QUEUED"}
    return Advance(Trigger.ANSWERED, due_in, columns, http_status=submitted.http_status)


def poll(services: Services, job: Job) -> Outcome:
    """Look at the run once. Safe to run twice because looking changes nothing."""
    sight = look(services, job)
    return seen(services, job, sight.found, sight.requests, sight.lesson)


def seen(services: Services, job: Job, found: RunResult, polls: int = 0, lesson: Lesson | None = None) -> Outcome:
    """Return what a look at a run leads to; ``polls`` is how many requests it took."""
    run = found.run
    columns: dict[str, Any] = {"remote_status": run.status, "polls": job.polls + polls}
    if polls > 1:  # The first is counted with the lease.
        columns["requests"] = job.requests + polls - 1
    match run.status:
        case RemoteStatus.COMPLETED:
            known = {"addresses": list(found.addresses)} if found.addresses else {}
            return Advance(Trigger.COMPLETED, columns={**columns, **_over(job, run), **known}, lesson=lesson)
        case RemoteStatus.FAILED:
            over = {**columns, "metrics": dict(run.metrics)}
            return Fail(Trigger.ENDED, RemoteJobFailed.code, _why_failed(job, run), over, lesson=lesson)
        case RemoteStatus.QUEUED | RemoteStatus.PROCESSING | RemoteStatus.UNRECOGNISED:
            due_in = services.outlook.terms().plan.next(job.age, is_queued=run.status is RemoteStatus.QUEUED)
            columns |= {"attempts": 0, "gone_looks": 0, "running_at": job.observed_at}
            return Snooze(due_in, f"the run, {run.status.lower()}", columns=columns, lesson=lesson)


def _why_failed(job: Job, run: RunStatus) -> str:
    """Quote the vendor's reason."""
    return f"The run failed and was not charged. {SAYS} {quoted(run.error, job.parameters) or 'nothing'}"


def fetch(services: Services, job: Job) -> Outcome:
    """Download the outputs. Safe to run twice because each file is stored once, with the try that got it."""
    if job.addresses:
        return collect(services, job, job.addresses, {"metrics": dict(job.metrics or {})})
    result = read_result(services, job)
    if result.run.status is RemoteStatus.FAILED:
        raise RemoteJobFailed(_why_failed(job, result.run))
    return collect(services, job, result.addresses, _over(job, result.run))


def _over(job: Job, run: RunStatus) -> dict[str, Any]:
    """Return what is known of a run that completed."""
    metrics = {**(job.metrics or {}), **run.metrics}
    return {"metrics": metrics, "cost": metrics.get("cost"), "remote_status": RemoteStatus.COMPLETED}


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
        case RemoteRequestGone() | OutputMissing():
            return _gone(services, job, error)
        case TransientError():
            return _again(job, error)
        case PermanentError():
            trigger = Trigger.REFUSED if job.state is JobState.SUBMITTING else Trigger.ENDED
            return Fail(trigger, error.code, _explained(job, error))
    raise error


def _explained(job: Job, error: Sam3dError) -> str:
    """Say what is wrong, and what the vendor says of it."""
    said = quoted(error.said, job.parameters)
    return f"{error} {SAYS} {said}" if said else str(error)


def _limited(terms: Terms, job: Job, error: RemoteRateLimited) -> Limited:
    """Wait for the vendor's next window, and learn from when this one was used up."""
    opens_in = window_opens(error.reset_at, job.observed_at)
    is_told = named_reset(error.reset_at, job.observed_at) is not None
    closes_reads = terms.reads_count is True or job.state is not JobState.SUBMITTING
    learnt = lowered(terms.limit, opens_in, is_told=is_told) if terms.limit else None
    return Limited(opens_in, is_told=is_told, closes_reads=closes_reads, learnt_limit=learnt)


def _again(job: Job, error: TransientError) -> Outcome:
    """Try again later, but not for ever: the vendor's files live a week."""
    if are_files_gone(job.age, job.attempts):
        return Fail(Trigger.ENDED, error.code, str(error))
    return Snooze(next_attempt(job.attempts, random.random()), str(error), is_attempt=True)


def _gone(services: Services, job: Job, error: RemoteRequestGone | OutputMissing) -> Outcome:
    """Come back for a run that the vendor does not know, until its hour is over and a few looks more found nothing."""
    lifetime = services.settings.sam3d_record_lifetime
    last = last_looks(job, error.answered_at, lifetime, is_listed=error.is_listed)
    if last is None:
        upcoming = services.outlook.terms().plan.next(job.age) if job.state is JobState.PROCESSING else NOW
        again_in = max(next_attempt(job.attempts, random.random()), min(upcoming, LONGEST_RETRY))
        return Snooze(again_in, f"{error} Its hour is not over.", is_attempt=True, columns={"gone_looks": 0})
    looks = job.gone_looks + 1
    if looks < last.count:
        return Snooze(lifetime * last.apart, str(error), is_attempt=True, columns={"gone_looks": looks})
    if job.running_at and job.state is JobState.PROCESSING:
        return Fail(Trigger.ENDED, "remote_timeout", _NO_END)
    return Fail(Trigger.ENDED, error.code, f"{error} Its record lives for one hour, which is over.")


_NO_END = "The run did not end within the hour after which the vendor forgets it. Send a new job."
