"""What people look at: lists and histories of jobs, without the files."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from worker.models import accounts, events, jobs, now, submissions

_LISTED = (
    jobs.c.id, jobs.c.state, jobs.c.polls, jobs.c.waits_for, jobs.c.error_code, jobs.c.cost, jobs.c.accepted_at,
    jobs.c.finished_at, (now - jobs.c.accepted_at).label("age"),
)  # fmt: skip
_HIDDEN = {"parameters", "fingerprint", "body_id", "sweep_at", "session", "addresses", "kept", "inputs"}
"""A prompt, where outputs are for whoever knows it, and what nobody needs to see."""

Rows = Sequence[Mapping[str, Any]]


def newest_jobs(connection: Connection, state: str | None, limit: int) -> Rows:
    """List the newest jobs, of one state or of all."""
    query = select(*_LISTED).order_by(jobs.c.accepted_at.desc()).limit(limit)
    return _rows(connection, query.where(jobs.c.state == state) if state else query)


def jobs_in_review(connection: Connection) -> Rows:
    """List the jobs that wait for a person, the oldest first."""
    query = select(
        jobs.c.id,
        (now - jobs.c.accepted_at).label("age"),
        jobs.c.error_code,
        jobs.c.request_id,
        jobs.c.error_message,
    )
    return _rows(connection, query.where(jobs.c.state == "review").order_by(jobs.c.accepted_at))


def job_row(connection: Connection, job_id: str) -> Mapping[str, Any] | None:
    """Read everything about a job that may be shown."""
    shown = [column for column in jobs.columns if column.name not in _HIDDEN]
    row = connection.execute(select(*shown).where(jobs.c.id == job_id)).mappings().first()
    return dict(row) if row else None


def history(connection: Connection, job_id: str) -> Rows:
    """List the events of a job, oldest first."""
    query = select(events.c.type, events.c.occurred_at, events.c.published_at, events.c.was_routed)
    return _rows(connection, query.where(events.c.job_id == job_id).order_by(events.c.position))


def submissions_of(connection: Connection, job_id: str) -> Rows:
    """List the submits of a job, oldest first."""
    shown = [column for column in submissions.columns if column.name not in _HIDDEN]
    query = select(*shown).where(submissions.c.job_id == job_id).order_by(submissions.c.intended_at)
    return _rows(connection, query)


def held_accounts(connection: Connection) -> Rows:
    """List the accounts that are stopped, and why."""
    shown = (accounts.c.name, accounts.c.held_at, accounts.c.held_cause, accounts.c.held_message)
    return _rows(connection, select(*shown).where(accounts.c.held_at.is_not(None)))


def _rows(connection: Connection, query: Any) -> Rows:
    return [dict(row) for row in connection.execute(query).mappings()]
