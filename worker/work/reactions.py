"""What an error of a step makes of its job: try again, wait, hold the account, give up."""

import random

from worker.errors import (
    AccountHeld,
    OutputMissing,
    PermanentError,
    RemoteRateLimited,
    RemoteRequestGone,
    Sam3dError,
    SubmitUnknown,
    TransientError,
)
from worker.rules.budget import Terms, lowered
from worker.rules.expiry import last_looks
from worker.rules.job import Job
from worker.rules.lifecycle import NOW, JobState, Trigger
from worker.rules.outcome import NOTHING, Doubt, Fail, Hold, Learnt, Limited, Outcome, Snooze
from worker.rules.retry import LONGEST_RETRY, named_reset, next_attempt, window_opens
from worker.vendor.quoting import SAYS, quoted
from worker.work.collecting import are_files_gone
from worker.work.services import Services


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
            return gone(services, job, error)
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


def gone(services: Services, job: Job, error: RemoteRequestGone | OutputMissing, learnt: Learnt = NOTHING) -> Outcome:
    """Come back for a run that the vendor does not know, until its hour is over and a few looks more found nothing.

    ``learnt`` is what it said of the run all the same.
    """
    lifetime = services.settings.run.record_lifetime
    last = last_looks(job, error.answered_at, lifetime, is_listed=error.is_listed)
    if last is None:
        upcoming = services.outlook.terms().plan.next(job.age) if job.state is JobState.PROCESSING else NOW
        again_in = max(next_attempt(job.attempts, random.random()), min(upcoming, LONGEST_RETRY))
        noted = learnt | Learnt(gone_looks=0)
        return Snooze(again_in, f"{error} Its hour is not over.", is_attempt=True, learnt=noted)
    looks = job.gone_looks + 1
    if looks < last.count:
        return Snooze(lifetime * last.apart, str(error), is_attempt=True, learnt=learnt | Learnt(gone_looks=looks))
    if job.running_at and job.state is JobState.PROCESSING:
        return Fail(Trigger.ENDED, "remote_timeout", _NO_END)
    return Fail(Trigger.ENDED, error.code, f"{error} Its record lives for one hour, which is over.", learnt)


_NO_END = "The run did not end within the hour after which the vendor forgets it. Send a new job."
