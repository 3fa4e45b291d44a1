"""What people look at: lists and histories of jobs, without the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Connection, func, literal, or_, select, true

from worker.database.phases import Phase
from worker.database.records import events, files_are_of, inputs, submissions
from worker.database.tables import TIME, accounts, is_live, jobs, now
from worker.errors import HoldCause
from worker.rules.lifecycle import JobState

_LISTED = (
    jobs.c.id, jobs.c.state, jobs.c.is_shared, jobs.c.polls, jobs.c.waits_for, jobs.c.error_code, jobs.c.cost,
    jobs.c.accepted_at, jobs.c.finished_at, (now - jobs.c.accepted_at).label("age"),
)  # fmt: skip
_HIDDEN = {
    "parameters", "fingerprint", "share_key", "body_id", "stage", "phase", "sweep_at", "waits_until", "session",
    "addresses", "kept", "result", "inputs", "address",
}  # fmt: skip
"""A prompt, where outputs are for whoever knows it, what may quote both, and what nobody needs to see."""

_HOLD = (accounts.c.paused_at, accounts.c.held_at, accounts.c.held_cause, accounts.c.stops_reads)
_UNDER_WAY = {JobState.SUBMITTING, JobState.PROCESSING, JobState.FETCHING}

Rows = Sequence[Mapping[str, Any]]


def newest_jobs(connection: Connection, state: str | None, limit: int, *, has_runs: bool = True) -> Rows:
    """List the newest jobs, of one state or of all; with or without the runs that jobs share."""
    which = (jobs.c.state == state if state else true(), true() if has_runs else ~jobs.c.is_shared)
    query = select(*_LISTED, *_HOLD).join(accounts, accounts.c.name == jobs.c.account)
    since = literal(_since(connection, limit, *which), TIME)
    newest = query.where(*which, or_(is_live, jobs.c.finished_at >= since))
    return [_with_hold(row) for row in _rows(connection, newest.order_by(jobs.c.accepted_at.desc()).limit(limit))]


def _since(connection: Connection, limit: int, *which: ColumnElement[bool]) -> datetime | None:
    """Return from when on jobs ended that may be among the newest: when the first of the last to end was accepted.

    Whatever ended before that is older than all of these.
    """
    ended = select(jobs.c.accepted_at).where(*which, jobs.c.finished_at.is_not(None))
    last = ended.order_by(jobs.c.finished_at.desc()).limit(limit).subquery()
    return connection.execute(select(func.min(last.c.accepted_at))).scalar()


@dataclass(frozen=True)
class Reviewed:
    """Which of the jobs in review: by error code, age, last submit, whether they have a run; and how many of those."""

    code: str | None = None
    older_than: timedelta | None = None
    last: str | None = None
    limit: int | None = None
    has_run: bool | None = None


def jobs_in_review(connection: Connection, which: Reviewed) -> Rows:
    """List the jobs that wait for a person, the oldest first."""
    last = select(submissions).where(submissions.c.job_id == jobs.c.id).order_by(submissions.c.intended_at.desc())
    shown = last.limit(1).lateral("last")
    query = (
        select(
            jobs.c.id,
            (now - jobs.c.accepted_at).label("age"),
            jobs.c.error_code,
            shown.c.verdict.label("last_submit"),
            shown.c.http_status,
            jobs.c.request_id,
            jobs.c.error_message,
        )
        .select_from(jobs.outerjoin(shown, true()))
        .where(jobs.c.phase == Phase.LATER, jobs.c.state == JobState.REVIEW)
    )
    if which.code:
        query = query.where(jobs.c.error_code == which.code)
    if which.older_than is not None:
        query = query.where(jobs.c.accepted_at <= now - which.older_than)
    if which.last:
        query = query.where(shown.c.verdict == which.last)
    if which.has_run is not None:
        query = query.where(jobs.c.request_id.is_not(None) == which.has_run)
    return _rows(connection, query.order_by(jobs.c.accepted_at).limit(which.limit))


def job_row(connection: Connection, job_id: str) -> Mapping[str, Any] | None:
    """Read everything about a job that may be shown."""
    shown = [column for column in jobs.columns if column.name not in _HIDDEN]
    query = select(*shown, *_HOLD).join(accounts, accounts.c.name == jobs.c.account).where(jobs.c.id == job_id)
    row = connection.execute(query).mappings().first()
    return _with_hold(dict(row)) if row else None


def result_of(connection: Connection, job_id: str) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]] | None:
    """Read what the vendor said of a job's run, as it is kept, and the parameters that it may quote."""
    row = connection.execute(select(jobs.c.result, jobs.c.parameters).where(jobs.c.id == job_id)).one_or_none()
    return (row.result, row.parameters) if row else None


def _with_hold(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say of a job that its account is held, if that is what it waits for."""
    hidden = {column.name for column in _HOLD}
    shown = {name: value for name, value in row.items() if name not in hidden}
    holds = [(cause, since) for cause, since, stops in _holds(row) if row["state"] in stops]
    if not holds:
        return shown
    causes = ", ".join(cause for cause, _ in holds)
    return {**shown, "waits_for": f"the account is held ({causes}), {since(min(at for _, at in holds))}"}


def since(at: datetime) -> str:
    """Say since when, as it is read."""
    return f"since {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _holds(row: Mapping[str, Any]) -> Sequence[tuple[HoldCause, datetime, set[JobState]]]:
    """List the holds of an account: why, since when, and jobs of which states wait for each."""
    held, paused = [], []
    if row["held_at"] and row["held_cause"] != HoldCause.OPERATOR:
        stops = _UNDER_WAY if row["stops_reads"] else set()
        held = [(HoldCause(row["held_cause"]), row["held_at"], {JobState.ACCEPTED, *stops})]
    if row["paused_at"]:
        paused = [(HoldCause.OPERATOR, row["paused_at"], {JobState.ACCEPTED})]
    return held + paused


def photos_of(connection: Connection, job_id: str) -> Rows:
    """List the files of a request, of one at an address only the host: who knows the rest may read it."""
    shown = (inputs.c.name, inputs.c.media_type, inputs.c.bytes, inputs.c.sha256)
    query = select(*shown, inputs.c.url).join(jobs, files_are_of == inputs.c.job_id).where(jobs.c.id == job_id)
    return [
        {**{column.name: row[column.name] for column in shown}, "host": _host(row["url"])}
        for row in _rows(connection, query.order_by(inputs.c.name))
    ]


def _host(url: str | None) -> str | None:
    return urlsplit(url).hostname if url else None


def sharers_of(connection: Connection, job_id: str) -> Rows:
    """List the jobs that share a run, those first that came first."""
    query = select(jobs.c.id, jobs.c.state).where(jobs.c.shares == job_id)
    return _rows(connection, query.order_by(jobs.c.accepted_at, jobs.c.id))


def told_of(connection: Connection, job_id: str) -> Mapping[str, Any] | None:
    """Read what was announced last of an id: the request under it may have become another job, or been refused."""
    query = select(events.c.payload).where(events.c.job_id == job_id).order_by(events.c.position.desc()).limit(1)
    return connection.execute(query).scalar()


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
    """List what accounts are stopped for, the vendor's trouble and a person's hold apart."""
    query = select(accounts.c.name, *_HOLD, accounts.c.held_message, accounts.c.paused_message)
    return [
        {
            "name": row["name"],
            "held_at": since,
            "held_cause": cause,
            "held_message": row["paused_message" if cause is HoldCause.OPERATOR else "held_message"],
        }
        for row in _rows(connection, query.order_by(accounts.c.name))
        for cause, since, _ in _holds(row)
    ]


def _rows(connection: Connection, query: Any) -> Rows:
    return [dict(row) for row in connection.execute(query).mappings()]
