"""Give back: a submit was answered with the run of another, so its job has nothing to go on with.

Either the history shows it, or two submits were answered with one run.
"""

from collections.abc import Sequence
from datetime import datetime

from worker.database import files, jobs, ownership, shares
from worker.database.engine import Connection, DatabaseError, describe, is_outage, transaction
from worker.database.ownership import Holder
from worker.log import Log
from worker.rules.habits import Pair, Sent
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Verdict
from worker.rules.outcome import Doubt, Learnt
from worker.rules.request_id import canonical_id
from worker.work import changes
from worker.work.services import Services

WHY = "the submit was answered with a run of other inputs"
AT_ONCE = "another submit that was under way at the same time was answered with the same run"
_FORGOTTEN = Learnt(
    request_id=None,
    submitted_at=None,
    vendor_submitted_at=None,
    running_at=None,
    completed_at=None,
    metrics=None,
    cost=None,
    addresses=None,
    kept=None,
    result=None,
    gone_looks=0,
    broken_files=0,
)
"""What a job knows of its run, and of a stranger's must forget."""

log = Log(__name__)


def give_back(services: Services, mixed_up: Sequence[Pair]) -> Sequence[Sent]:
    """Put the jobs that were answered with another's run back to their submits, and return those.

    One that has ended keeps it. Safe to run twice because a run that was given back is not the submit's any more.
    """
    return [pair.sent for pair in mixed_up if _has_given_back(services, pair.sent)]


def _has_given_back(services: Services, sent: Sent) -> bool:
    try:
        with transaction(services.engine) as connection:
            return _take_back(connection, services, sent.job_id, sent.run or "", WHY)
    except DatabaseError as error:
        if is_outage(error):
            raise
        log.warning("run_not_given_back", job_id=sent.job_id, reason=describe(error), next="the next tick")
        return False


def contest(connection: Connection, services: Services, job: Job, request_id: str) -> None:
    """Take a run that a submit was answered with from the one that has it, unless that had it first for certain.

    Of two that were under way at once nobody can tell whose it is: both are in doubt.
    """
    holder = ownership.holder_of(connection, job.token, request_id)
    log.warning("answer_of_another", request_id=request_id, next="the job's own run is looked up")
    if holder and holder.job_id != job.id and not keeps(holder, job.observed_at):
        _take_back(connection, services, holder.job_id, canonical_id(request_id), AT_ONCE)


def keeps(holder: Holder, sent_at: datetime) -> bool:
    """Tell whether a submit keeps its run though another, which was sent at that time, was answered with it.

    It does if it was answered before, by a clock that was not set back meanwhile; if the history or a person told its
    run; or if both sent the same, so that either may have it.
    """
    if holder.is_alike or holder.verdict is Verdict.ADOPTED:
        return True
    if holder.answered_at is None or sent_at > holder.observed_at:
        return False
    return holder.intended_at <= holder.answered_at < sent_at


def _take_back(connection: Connection, services: Services, job_id: str, run: str, why: str) -> bool:
    """Take a run from a job and put it back to its submit; return False where it has ended, or a person has it.

    If jobs share it, no more do then.
    """
    job = jobs.find(connection, job_id)
    is_had = job is not None and job.request_id is not None and canonical_id(job.request_id) == run
    if job is None or (is_had and job.state not in {JobState.PROCESSING, JobState.FETCHING}):
        log.error("run_of_another", job_id=job_id, request_id=run, state=job.state if job else None, next=_COMPARE)
        shares.close(connection, [job_id])
        return False
    if is_had:
        _put_back(connection, job, services, why)
    ownership.give_back(connection, run, why)
    log.warning("run_given_back", job_id=job_id, request_id=run, reason=why, next="the job's own run is looked up")
    return True


_COMPARE = "its model may be another job's: compare its output with its photo, see `sam3d job`"


def _put_back(connection: Connection, job: Job, services: Services, why: str) -> None:
    files.remove(connection, job.id)
    changes.apply(connection, job, Doubt(why, learnt=_FORGOTTEN), services.settings.upkeep.sweep_grace)
