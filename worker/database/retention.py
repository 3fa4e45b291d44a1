"""What is deleted once it is old: jobs with all that is theirs, events of nobody's job, the bytes of inputs."""

from datetime import timedelta

from sqlalchemy import Connection, and_, delete, exists, or_, select, tuple_, update

from worker.database import blobs
from worker.database.records import events, inputs
from worker.database.tables import jobs, now
from worker.rules.lifecycle import JobState

_FINAL = [state for state in JobState if state.is_final]
_IS_OUT = events.c.published_at.is_not(None)
"""Whether the broker has an event; one that waits in the outbox stays until it has."""


def delete_jobs(connection: Connection, older_than: timedelta, limit: int) -> int:
    """Delete final jobs of that age with their files and events; return how many."""
    old = select(jobs.c.id).where(jobs.c.finished_at < now - older_than, jobs.c.state.in_(_FINAL))
    ids = list(connection.execute(old.order_by(jobs.c.finished_at).limit(limit)).scalars())
    if ids:
        blobs.loosen(connection, ids)
        connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
        connection.execute(delete(events).where(events.c.job_id.in_(ids), _IS_OUT))
    return len(ids)


def delete_events(connection: Connection, older_than: timedelta, limit: int) -> int:
    """Delete events of that age that no job is behind: of accounts, of refused messages, of deleted jobs."""
    has_job = exists().where(jobs.c.id == events.c.job_id)
    old = select(events.c.id).where(events.c.occurred_at < now - older_than, _IS_OUT, ~has_job)
    chosen = old.order_by(events.c.occurred_at).limit(limit)
    return connection.execute(delete(events).where(events.c.id.in_(chosen))).rowcount


def forget_inputs(connection: Connection, failed_for: timedelta, limit: int) -> int:
    """Delete the bytes of files whose job needs them no more, those of failed jobs after a time; return how many.

    Sizes and SHA-256 stay. A file that is being copied for a retry is left for the next time.
    """
    is_over = or_(
        jobs.c.state.in_([JobState.SUCCEEDED, JobState.CANCELLED]),
        and_(jobs.c.state == JobState.FAILED, jobs.c.finished_at < now - failed_for),
    )
    query = select(inputs.c.job_id, inputs.c.name).join(jobs, jobs.c.id == inputs.c.job_id)
    chosen = query.where(inputs.c.content.is_not(None), is_over).limit(limit)
    files = [tuple(row) for row in connection.execute(chosen.with_for_update(of=inputs, skip_locked=True))]
    if files:
        is_one = tuple_(inputs.c.job_id, inputs.c.name).in_(files)
        connection.execute(update(inputs).where(is_one).values(content=None))
    return len(files)
