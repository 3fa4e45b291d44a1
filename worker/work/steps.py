"""What each step does to the outside world; returns an ``Outcome``. Knows nothing of Celery, commits nothing."""

from collections.abc import Callable, Mapping
from typing import Any

from worker.errors import (
    RemoteJobFailed,
)
from worker.rules.job import Job
from worker.rules.lifecycle import Step, Trigger
from worker.rules.outcome import Advance, Fail, Lesson, Outcome, Snooze
from worker.rules.run import RemoteStatus, RunResult, RunStatus
from worker.vendor.quoting import SAYS, quoted
from worker.work.collecting import collect
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
