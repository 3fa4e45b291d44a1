"""Review: what a person decides about a job of which nobody can tell whether its run was paid."""

from collections.abc import Callable

import structlog

from worker import changes
from worker.answers import is_request_id
from worker.changes import Recorded
from worker.database import Connection, transaction
from worker.errors import InvalidMessage, Sam3dError
from worker.job import Job
from worker.lifecycle import FollowUp, JobState, Trigger, Verdict
from worker.outcome import Advance, Fail, Outcome, decide
from worker.repository import jobs, submissions
from worker.repository.submissions import Answered
from worker.services import Services

Send = Callable[[FollowUp], object]

log = structlog.get_logger(__name__)


def adopt(services: Services, job_id: str, request_id: str, send: Send) -> JobState:
    """Go on with a paid run that was found at the vendor.

    Raises:
        InvalidMessage: this can't be a request id.
        Sam3dError: the job is not in review, or another one has the run.
    """
    if not is_request_id(request_id):
        raise InvalidMessage("adopt", "`--adopt` needs the vendor's request id, such as a UUID.")

    def resolve(connection: Connection, job: Job) -> tuple[Answered | None, Outcome]:
        if submissions.is_claimed(connection, request_id, job.id):
            raise Sam3dError(f"Another job has the run {request_id}; see `sam3d jobs`.")
        return Answered(Verdict.ADOPTED, request_id, detail=_BY_A_PERSON), Advance(
            Trigger.ANSWERED, columns={"request_id": request_id, "remote_status": None}
        )

    return _apply(services, job_id, send, resolve)


def resubmit(services: Services, job_id: str, send: Send) -> JobState:
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

    return _apply(services, job_id, send, resolve)


def give_up(services: Services, job_id: str, send: Send) -> JobState:
    """Close a job as failed.

    Raises:
        Sam3dError: the job is not in review.
    """
    why = Fail(Trigger.GIVEN_UP, "given_up", "A person closed it in review.")
    return _apply(services, job_id, send, lambda *_: (None, why))


_BY_A_PERSON = "a person decided"

Resolve = Callable[[Connection, Job], tuple[Answered | None, Outcome]]


def _apply(services: Services, job_id: str, send: Send, resolve: Resolve) -> JobState:
    job, recorded = _commit(services, job_id, resolve)
    services.outbox.announce(recorded.events)
    if follow_up := changes.follow_up(job, recorded):
        send(follow_up)
    return recorded.change.state


def _commit(services: Services, job_id: str, resolve: Resolve) -> tuple[Job, Recorded]:
    with transaction(services.engine) as connection:
        job = jobs.find(connection, job_id)
        if job is None or job.state is not JobState.REVIEW:
            where = f"is {job.state}" if job else "does not exist"
            raise Sam3dError(f"Job {job_id} {where}; only a job in review can be decided: `sam3d review` lists them.")
        answer, outcome = resolve(connection, job)
        if answer:
            submissions.resolve(connection, job_id, answer)
        recorded = changes.write(
            connection, job, decide(job.state, job.attempts, outcome), services.settings.sam3d_sweep_grace
        )
    log.info("job_reviewed", job_id=job_id, state=recorded.change.state)
    return job, recorded
