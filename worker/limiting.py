"""Limit: the vendor's request limit is used up for a while, and what that teaches of it."""

import structlog

from worker.database import Connection
from worker.job import Job
from worker.lifecycle import DRIVEN_BY, JobState, Step
from worker.outcome import Limited
from worker.repository import budget

log = structlog.get_logger(__name__)


def close(connection: Connection, job: Job, why: Limited) -> None:
    """Let the account's requests wait until the limit's next window; told once for each."""
    step = Step.SUBMIT if job.state is JobState.SUBMITTING else DRIVEN_BY[job.state]
    if step and budget.close(connection, job.account, step, why):
        log.warning(
            "requests_limited",
            account=job.account,
            opens_in=why.opens_in.total_seconds(),
            learnt_limit=why.learnt_limit,
            next="goes on by itself then; check SAM3D_REQUESTS_PER_MINUTE if this comes often",
        )


def note_read(connection: Connection, job: Job) -> None:
    """Learn from a read that was answered while submits were limited: reads don't count."""
    if budget.note_read(connection, job.account, job.observed_at):
        log.info("reads_found_free", account=job.account, next="polls and results draw from the budget no more")
