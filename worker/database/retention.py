"""What is deleted once it is old: jobs with all that is theirs, files, events of nobody's job, the bytes of inputs.

Each is told by a query, so that what would go can be counted before it goes.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, func, or_, select, tuple_, update

from worker.database import outbox, shares
from worker.database.endings import Walk
from worker.database.records import events, inputs, outputs, requests
from worker.database.tables import jobs, now
from worker.rules.lifecycle import JobState

_FINAL = [state for state in JobState if state.is_final]
_IS_OUT = events.c.published_at.is_not(None)
"""Whether the broker has an event; one that waits in the outbox stays until it has."""

Old = Select[Any]


def count(connection: Connection, old: Old) -> int:
    """Return how many there are."""
    return connection.execute(select(func.count()).select_from(old.order_by(None).subquery())).scalar_one()


def old_jobs(age: timedelta) -> Old:
    """Find final jobs of that age."""
    query = select(jobs.c.id).where(jobs.c.finished_at < now - age, jobs.c.state.in_(_FINAL))
    return query.order_by(jobs.c.finished_at)


def delete_jobs(connection: Connection, old: Old, limit: int) -> int:
    """Delete jobs with their files and events; return how many. One that is being retried is left for the next time."""
    ids = list(connection.execute(old.limit(limit).with_for_update(skip_locked=True)).scalars())
    if ids:
        connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
        connection.execute(delete(events).where(events.c.job_id.in_(ids), _IS_OUT))
    return len(ids)


def old_outputs(role: str, age: timedelta) -> Old:
    """Find files of final jobs that were stored so long ago."""
    query = select(outputs.c.id).join(jobs, jobs.c.id == outputs.c.job_id)
    is_old = and_(outputs.c.role == role, outputs.c.stored_at < now - age, jobs.c.state.in_(_FINAL))
    return query.where(is_old).order_by(outputs.c.stored_at)


def delete_outputs(connection: Connection, old: Old, limit: int) -> int:
    """Delete files, whose jobs stay; return how many. A run that lacks one is shared by nobody who comes then."""
    gone = delete(outputs).where(outputs.c.id.in_(old.limit(limit))).returning(outputs.c.job_id)
    owners = list(connection.execute(gone).scalars())
    shares.close(connection, owners)
    return len(owners)


def old_events(age: timedelta) -> Old:
    """Find events of that age that no job is behind: of accounts, of refused messages, of deleted jobs."""
    has_job = exists().where(jobs.c.id == events.c.job_id)
    return select(events.c.id).where(outbox.is_of(until=now - age), _IS_OUT, ~has_job)


def delete_events(connection: Connection, old: Old, limit: int) -> int:
    """Delete events; return how many."""
    return connection.execute(delete(events).where(events.c.id.in_(old.limit(limit)))).rowcount


def needless_inputs(failed_for: timedelta) -> Old:
    """Find files whose bytes their job needs no more, those of failed jobs after a time."""
    is_over = or_(
        jobs.c.state.in_([JobState.SUCCEEDED, JobState.CANCELLED]),
        and_(jobs.c.state == JobState.FAILED, jobs.c.finished_at < now - failed_for),
    )
    query = select(inputs.c.job_id, inputs.c.name).join(jobs, jobs.c.id == inputs.c.job_id)
    return query.where(or_(inputs.c.content.is_not(None), inputs.c.location.is_not(None)), is_over)


def forget_inputs(connection: Connection, needless: Old, limit: int, failed_for: timedelta) -> int:
    """Delete the bytes of files; sizes and SHA-256 stay. Return how many.

    Those of an object store go once no job names them. A file that is being copied for a retry is left for next time.
    Jobs are looked at in the order of their ends, failed ones once more when that is long ago: most of the photos that
    are kept are of jobs that wait, and are not looked at.
    """
    of_failed = jobs.c.state == JobState.FAILED
    forgotten = _forget(connection, needless.where(~of_failed), Walk("ended", timedelta(0)), limit)
    return forgotten or _forget(connection, needless.where(of_failed), Walk("failed", failed_for), limit)


PAGES = 20
"""Of jobs that have ended, looked at in a transaction until there is something to delete."""


def _forget(connection: Connection, needless: Old, walk: Walk, limit: int) -> int:
    page = None
    for _ in range(PAGES):
        page = walk.page(connection, page)
        its = needless.where(*page.its)
        chosen = connection.execute(its.limit(limit).with_for_update(of=inputs, skip_locked=True))
        if files := [tuple(row) for row in chosen]:
            is_one = tuple_(inputs.c.job_id, inputs.c.name).in_(files)
            connection.execute(update(inputs).where(is_one).values(content=None, location=None))
            return len(files)
        if connection.execute(its.limit(1)).first():
            break  # Somebody copies it just now.
        walk.reach(connection, page)
        if page.is_last:
            break
    return 0


def delete_counts(connection: Connection, older_than: timedelta) -> None:
    """Delete the counts of requests of minutes that are older than this."""
    connection.execute(requests.delete().where(requests.c.minute < now - older_than))
