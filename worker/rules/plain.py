"""Pure: whether a change is of its job alone, so that one statement can write all that goes with it."""

from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Trigger
from worker.rules.outcome import Change, known


def is_plain_answer(job: Job, change: Change) -> bool:
    """Tell whether a submit was answered with a run, and with nothing else that anybody has to know."""
    is_answered = change.trigger is Trigger.ANSWERED and bool(known(change.learnt.request_id))
    return is_answered and job.token is not None and _is_of_job_alone(job, change)


def is_plain_end(job: Job, change: Change) -> bool:
    """Tell whether a read ends a job with the files in hand, if with any: none was stored before."""
    is_ended = change.state in {JobState.SUCCEEDED, JobState.FAILED}
    return is_ended and job.token is None and not job.kept and _is_of_job_alone(job, change)


def _is_of_job_alone(job: Job, change: Change) -> bool:
    """Tell whether neither its account, nor the request limit, nor who shares its run has to do with a change."""
    return not (job.is_shared or change.hold or change.limited or change.lesson)
