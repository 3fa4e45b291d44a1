"""Give back: a submit was answered with the run of another, so its job has nothing to go on with."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from worker import changes
from worker.answers import canonical_id
from worker.database import Connection, DatabaseError, describe, is_outage, transaction
from worker.habits import Pair, Sent
from worker.job import Job
from worker.lifecycle import JobState
from worker.outcome import Change, Doubt, decide
from worker.repository import jobs, outputs, submissions
from worker.services import Services

WHY = "the submit was answered with a run of other inputs"
_OF_A_RUN = (
    "request_id",
    "submitted_at",
    "vendor_submitted_at",
    "running_at",
    "completed_at",
    "metrics",
    "cost",
    "addresses",
    "kept",
)
_NOTHING = dict.fromkeys(_OF_A_RUN)
"""What a job knows of its run, and of a stranger's must forget."""

log = structlog.get_logger(__name__)


def give_back(services: Services, mixed_up: Sequence[Pair]) -> Sequence[Sent]:
    """Put the jobs that were answered with another's run back to their submits, and return those.

    One that has ended keeps it. Safe to run twice because a run that was given back is not the submit's any more.
    """
    return [pair.sent for pair in mixed_up if _has_given_back(services, pair.sent)]


def _has_given_back(services: Services, sent: Sent) -> bool:
    try:
        with transaction(services.engine) as connection:
            job = jobs.find(connection, sent.job_id)
            is_had = job is not None and job.request_id is not None and canonical_id(job.request_id) == sent.run
            if job is None or (is_had and job.state not in {JobState.PROCESSING, JobState.FETCHING}):
                log.error(
                    "run_of_another", job_id=sent.job_id, request_id=sent.run, next="see `sam3d job`: it has ended"
                )
                return False
            if is_had:
                _put_back(connection, job, services)
            submissions.give_back(connection, sent.run or "", WHY)
    except DatabaseError as error:
        if is_outage(error):
            raise
        log.warning("run_not_given_back", job_id=sent.job_id, reason=describe(error), next="the next tick")
        return False
    log.warning("run_given_back", job_id=sent.job_id, request_id=sent.run, next="the job's own run is looked up")
    return True


def _put_back(connection: Connection, job: Job, services: Services) -> None:
    change: Change = decide(job.state, job.attempts, Doubt(WHY))
    forgetting = replace(change, columns={**change.columns, **_NOTHING, "gone_looks": 0, "broken_files": 0})
    outputs.remove(connection, job.id)
    changes.write(connection, job, forgetting, services.settings.sam3d_sweep_grace)
