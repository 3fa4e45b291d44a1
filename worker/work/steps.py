"""What each step does to the outside world; returns an ``Outcome``. Knows nothing of Celery, commits nothing."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from worker.errors import RemoteJobFailed
from worker.rules.job import Job
from worker.rules.lifecycle import Step, Trigger
from worker.rules.outcome import NOTHING, Advance, Fail, Learnt, Lesson, Outcome, Snooze
from worker.rules.run import Listed, RemoteStatus, RunResult
from worker.vendor.history import as_result
from worker.vendor.quoting import why_failed
from worker.work.collecting import collect
from worker.work.looking import look
from worker.work.looking import result as read_result
from worker.work.reactions import gone
from worker.work.services import Services


def submit(services: Services, job: Job) -> Outcome:
    """Start the paid run.

    Safe to run twice because a job is taken for a submit only out of ``accepted``, in the transaction that
    writes the intent: the second time finds nothing to take.
    """
    if job.obstacle:
        raise job.obstacle
    due_in = services.outlook.terms().plan.first  # Before the POST: nothing stands between its answer and the commit.
    submitted = services.vendor.submit(job.inputs)
    learnt = Learnt(
        request_id=submitted.request_id,
        vendor_submitted_at=submitted.answered_at,
        remote_status=RemoteStatus.QUEUED,
        tells_of_account=True,
    )
    return Advance(Trigger.ANSWERED, due_in, learnt, http_status=submitted.http_status)


def poll(services: Services, job: Job) -> Outcome:
    """Look at the run once. Safe to run twice because looking changes nothing."""
    sight = look(services, job)
    return seen(services, job, sight.found, sight.requests, sight.lesson)


def seen_in_history(services: Services, job: Job, listed: Listed) -> Outcome:
    """Return what a row of the request history leads to; where it lacks outputs the run's result is to be asked."""
    outputs = 2 if job.parameters.get("include_artifacts") else 1
    found = as_result(listed)
    whole = found if len(found.addresses) >= outputs else replace(found, addresses=())
    return seen(services, job, whole, is_of_history=True)


def seen(
    services: Services,
    job: Job,
    found: RunResult,
    polls: int = 0,
    lesson: Lesson | None = None,
    *,
    is_of_history: bool = False,
) -> Outcome:
    """Return what a look at a run leads to; ``polls`` is how many requests it took.

    What comes from the history comes from another host, so it says nothing of the account.
    """
    run = found.run
    learnt = Learnt(remote_status=run.status, polls=job.polls + polls, tells_of_account=not is_of_history)
    if polls > 1:  # The first is counted with the lease.
        learnt |= Learnt(requests=job.requests + polls - 1)
    match run.status:
        case RemoteStatus.COMPLETED:
            named = Learnt(addresses=list(found.addresses)) if found.addresses else NOTHING
            return Advance(Trigger.COMPLETED, learnt=learnt | _over(job, found) | named, lesson=lesson)
        case RemoteStatus.FAILED:
            over = learnt | Learnt(metrics=dict(run.metrics))
            return Fail(Trigger.ENDED, RemoteJobFailed.code, why_failed(run.error, job.parameters), over, lesson=lesson)
        case RemoteStatus.QUEUED | RemoteStatus.PROCESSING | RemoteStatus.UNRECOGNISED:
            due_in = services.outlook.terms().plan.next(job.age, is_queued=run.status is RemoteStatus.QUEUED)
            learnt |= Learnt(attempts=0, gone_looks=0, running_at=job.observed_at)
            return Snooze(due_in, f"the run, {run.status.lower()}", learnt=learnt, lesson=lesson)


def fetch(services: Services, job: Job) -> Outcome:
    """Download the outputs. Safe to run twice because each file is stored once, with the try that got it."""
    if job.addresses:
        return collect(services, job, job.addresses, Learnt(metrics=dict(job.metrics or {})))
    ended = read_result(services, job)
    if ended.found.run.status is RemoteStatus.FAILED:
        raise RemoteJobFailed(why_failed(ended.found.run.error, job.parameters))
    if ended.unnamed:
        return gone(services, job, ended.unnamed, _said(ended.found))
    return collect(services, job, ended.found.addresses, _over(job, ended.found) | Learnt(tells_of_account=True))


def _over(job: Job, found: RunResult) -> Learnt:
    """Return what is known of a run that completed."""
    metrics = {**(job.metrics or {}), **found.run.metrics}
    known = Learnt(metrics=metrics, cost=metrics.get("cost"), remote_status=RemoteStatus.COMPLETED)
    return known | _said(found)


def _said(found: RunResult) -> Learnt:
    """Return what is kept of a result as it came."""
    return NOTHING if found.body is None else Learnt(result=found.body)


RUN: Mapping[Step, Callable[[Services, Job], Outcome]] = {
    Step.SUBMIT: submit,
    Step.POLL: poll,
    Step.FETCH: fetch,
}
"""What runs for each step."""
