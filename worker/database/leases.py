"""Who has taken which job, and which messages may be lost: what makes the sweep come sooner."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import Connection, and_, func, select, tuple_, update

from worker.database.phases import Phase
from worker.database.tables import jobs, now
from worker.rules.lifecycle import JobState, Ticket

_READ = (JobState.PROCESSING, JobState.FETCHING)
"""A submit is not taken over by who is gone alone: its POST may still be under way until its deadline."""

_is_read = and_(jobs.c.phase == Phase.UNDER_WAY, jobs.c.state.in_(_READ))
_is_taken = (_is_read, jobs.c.lease_until > now)


def free(connection: Connection, sessions: Collection[int]) -> int:
    """Let the leases of sessions end now; return how many there were."""
    taken = update(jobs).where(*_is_taken, jobs.c.session.in_(list(sessions)))
    return connection.execute(taken.values(lease_until=now, sweep_at=now)).rowcount


def free_job(connection: Connection, ticket: Ticket, session: int) -> bool:
    """Free a job that a session took by this ticket, for the next sweep; return whether it had."""
    connection.execute(select(jobs.c.id).where(jobs.c.id == ticket.job_id).with_for_update())
    taken = update(jobs).where(
        jobs.c.id == ticket.job_id, jobs.c.version == ticket.version + 1, jobs.c.session == session, *_is_taken
    )
    return connection.execute(taken.values(lease_until=None, session=None, sweep_at=now)).rowcount > 0


def expect(connection: Connection, tickets: Collection[Ticket]) -> None:
    """Have the sweep come for jobs as soon as they are due: their messages did not get out.

    What somebody writes to just now is left to him, and to the sweep in its time: several rows are locked here.
    """
    named = [(each.job_id, each.version) for each in tickets]
    unsent = (
        select(jobs.c.id)
        .where(tuple_(jobs.c.id, jobs.c.version).in_(named), jobs.c.lease_until.is_(None))
        .with_for_update(skip_locked=True)
    )
    soon = update(jobs).where(jobs.c.id.in_(unsent)).values(sweep_at=func.greatest(jobs.c.due_at, now))
    connection.execute(soon)


def expect_all(connection: Connection, within: timedelta, limit: int) -> int:
    """Have the sweep come for some runs soon after they are due: their messages may be lost; return how many."""
    soon = func.greatest(jobs.c.due_at, now) + within
    late = (
        select(jobs.c.id)
        .where(_is_read, jobs.c.lease_until.is_(None), jobs.c.sweep_at > soon)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(update(jobs).where(jobs.c.id.in_(late)).values(sweep_at=soon)).rowcount
