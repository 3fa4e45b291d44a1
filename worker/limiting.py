"""Limit: the vendor's request limit is used up for a while, and what that teaches of it."""

import structlog

from worker.database import Connection
from worker.job import Job
from worker.outcome import Limited
from worker.repository import budget

log = structlog.get_logger(__name__)


def close(connection: Connection, job: Job, why: Limited, *, is_read: bool) -> None:
    """Let the account's requests wait until the limit's next window; told once for each."""
    if budget.close(connection, job.account, why, is_read=is_read):
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
