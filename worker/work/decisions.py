"""Review: what a person decides about a job of which nobody can tell whether its run was paid."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from worker.database import doubts, jobs, ownership, submissions
from worker.database.engine import Connection, transaction
from worker.database.submissions import Answered
from worker.errors import AccountHeld, HistoryMissing, InvalidMessage, Sam3dError, TransientError
from worker.log import Log
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Trigger, Verdict
from worker.rules.outcome import Advance, Fail, Learnt, Outcome
from worker.rules.request_id import is_request_id, written_like
from worker.rules.run import Listed
from worker.work import changes
from worker.work.changes import Recorded
from worker.work.office import Office

LookUp = Callable[[str], Listed | None]
"""Finds a run in the vendor's request history, and raises what :meth:`worker.vendor.api.Vendor.listed` does."""

log = Log(__name__)


def adopt(office: Office, job_id: str, request_id: str, look_up: LookUp) -> JobState:
    """Go on with a paid run that was found at the vendor.

    Raises:
        InvalidMessage: this can't be a request id.
        Sam3dError: the job is not in review, or another one has the run.
    """
    if not is_request_id(request_id):
        raise InvalidMessage("adopt", "`--adopt` needs the vendor's request id, such as a UUID.")
    with transaction(office.engine) as connection:
        request_id = written_like(request_id, submissions.answered_id(connection))
    listed_at = _listed_at(office, request_id, look_up)

    def resolve(connection: Connection, job: Job) -> tuple[Answered | None, Outcome]:
        if ownership.is_claimed(connection, request_id, job.id):
            raise Sam3dError(f"Another job has the run {request_id}; see `sam3d jobs`.")
        submitted_at = _submitted_at(job, request_id, listed_at, doubts.last_intended(connection, job.id))
        learnt = Learnt(request_id=request_id, remote_status=None, submitted_at=submitted_at, tells_of_account=True)
        return Answered(Verdict.ADOPTED, request_id, detail=_BY_A_PERSON), Advance(Trigger.ANSWERED, learnt=learnt)

    return _apply(office, job_id, resolve)


def _listed_at(office: Office, request_id: str, look_up: LookUp) -> datetime | None:
    """Look up when the vendor accepted a run, if it can be told: a time without a zone may be hours off."""
    if office.settings.history.mode == "off":
        return None
    try:
        listed = look_up(request_id)
    except (AccountHeld, HistoryMissing, TransientError) as error:
        log.warning("adopted_unlisted", reason=str(error), next="its hour counts from when it was submitted")
        return None
    return listed.created_at if listed and listed.has_zone else None


def _submitted_at(job: Job, request_id: str, listed_at: datetime | None, intended_at: datetime | None) -> datetime:
    """Return from when a run's hour counts: never from when a person came to it."""
    if job.request_id == request_id and job.submitted_at:
        return job.submitted_at
    return min(listed_at or intended_at or job.observed_at, job.observed_at)


def resubmit(office: Office, job_id: str) -> JobState:
    """Submit a job again: whoever decides this has seen that no run was started, or pays for another.

    Raises:
        Sam3dError: the job is not in review, or has a run.
    """

    def resolve(_: Connection, job: Job) -> tuple[Answered | None, Outcome]:
        if job.request_id:
            raise Sam3dError(
                f"Job {job.id} has the paid run {job.request_id}: `--adopt {job.request_id}` goes on with it."
            )
        return Answered(Verdict.ABSENT, detail=_BY_A_PERSON), Advance(Trigger.NOT_SENT)

    return _apply(office, job_id, resolve)


def give_up(office: Office, job_id: str) -> JobState:
    """Close a job as failed.

    Raises:
        Sam3dError: the job is not in review.
    """
    why = Fail(Trigger.GIVEN_UP, "given_up", "A person closed it in review.")
    return _apply(office, job_id, lambda *_: (None, why))


def decide_all(job_ids: Sequence[str], decide_one: Callable[[str], JobState]) -> Mapping[str, str]:
    """Decide jobs one after the other; return what each became, or why it stayed as it was."""
    became: dict[str, str] = {}
    for job_id in job_ids:
        try:
            became[job_id] = decide_one(job_id)
        except Sam3dError as error:
            became[job_id] = str(error)
    return became


_BY_A_PERSON = "a person decided"

Resolve = Callable[[Connection, Job], tuple[Answered | None, Outcome]]


def _apply(office: Office, job_id: str, resolve: Resolve) -> JobState:
    job, recorded = _commit(office, job_id, resolve)
    office.post.follow(recorded.events, changes.follow_up(job, recorded))
    return recorded.change.state


def _commit(office: Office, job_id: str, resolve: Resolve) -> tuple[Job, Recorded]:
    with transaction(office.engine) as connection:
        job = jobs.find(connection, job_id)
        if job is None or job.state is not JobState.REVIEW:
            where = f"is {job.state}" if job else "does not exist"
            raise Sam3dError(f"Job {job_id} {where}; only a job in review can be decided: `sam3d review` lists them.")
        answer, outcome = resolve(connection, job)
        recorded = changes.apply(connection, job, outcome, office.settings.upkeep.sweep_grace, answer)
    log.info("job_reviewed", job_id=job_id, state=recorded.change.state)
    return job, recorded
