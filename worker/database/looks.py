"""Runs that a look at the request history may tell of, all in one request."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, not_, select, true

from worker.database.due import is_held
from worker.database.latest import latest
from worker.database.phases import Phase
from worker.database.tables import SEEN, jobs, now
from worker.rules.job import Job
from worker.rules.lifecycle import JobState


def polled_soon(
    connection: Connection, account: str, within: timedelta, limit: int, least_age: timedelta | None = None
) -> Sequence[Job]:
    """List the runs of some age that are to be polled within some time, those first that are due first."""
    query = (
        select(*SEEN)
        .where(
            jobs.c.account == account,
            jobs.c.phase == Phase.UNDER_WAY,
            jobs.c.state == JobState.PROCESSING,
            jobs.c.due_at <= now + within,
            jobs.c.attempts == 0,  # What went wrong with one is for its poll to find out.
            jobs.c.lease_until.is_(None),
            not_(is_held),
            true() if least_age is None else jobs.c.submitted_at <= now - least_age,
        )
        .order_by(jobs.c.due_at)
        .limit(limit)
    )
    return [Job.from_row(row) for row in connection.execute(query).mappings()]


def submit_times(connection: Connection, account: str, limit: int) -> Sequence[datetime]:
    """List when the newest runs were submitted, the newest first."""
    return connection.execute(latest(select(jobs.c.submitted_at), account).limit(limit)).scalars().all()
