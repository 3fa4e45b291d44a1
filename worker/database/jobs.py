"""A job's life: take it under a lease, write what a step learnt, find what was left behind."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, not_, or_, select, true, update

from worker.database.arrivals import inputs_of
from worker.database.latest import latest
from worker.database.phases import Phase
from worker.database.tables import accounts, incarnation, is_live, jobs, now
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Ticket, next_state
from worker.rules.outcome import Change
from worker.rules.standing import FEW, SUSPECT

SLACK = timedelta(milliseconds=250)
"""A message that comes this early counts as on time: another wait would be a whole second."""

ITS_TURN = timedelta(seconds=5)
"""After which a submit comes again that waits for others to be answered, where few go together."""

SEEN = (
    jobs.c.id, jobs.c.account, jobs.c.state, jobs.c.version, jobs.c.parameters, jobs.c.metadata, jobs.c.attempts,
    jobs.c.broken_files, jobs.c.polls, jobs.c.request_id, jobs.c.submitted_at, jobs.c.vendor_submitted_at,
    jobs.c.running_at, jobs.c.gone_looks, jobs.c.requests, jobs.c.metrics, jobs.c.addresses, jobs.c.kept,
    jobs.c.is_shared, jobs.c.shares, now.label("observed_at"),
)  # fmt: skip

_ENTERED_AT = {JobState.PROCESSING: jobs.c.submitted_at, JobState.FETCHING: jobs.c.completed_at} | {
    s: jobs.c.finished_at for s in JobState if s.is_final
}
"""The column that is stamped when a job enters a state."""

_is_accepted = jobs.c.state == JobState.ACCEPTED

is_uncompared = exists().where(
    accounts.c.name == jobs.c.account,
    jobs.c.state == JobState.ACCEPTED,
    or_(accounts.c.missing_since.is_not(None), accounts.c.compared_with != select(incarnation).scalar_subquery()),
)
"""Whether a job's submit waits until a database that may have been set back was compared with the history."""

is_held = is_uncompared | exists().where(
    accounts.c.name == jobs.c.account,
    or_(
        and_(
            accounts.c.held_at.is_not(None),
            or_(_is_accepted, accounts.c.stops_reads),
            accounts.c.probe_job_id.is_distinct_from(jobs.c.id),
        ),
        and_(accounts.c.paused_at.is_not(None), _is_accepted),
    ),
)
"""Whether a job waits for its account: before its submit always, after it where the vendor refuses reads as well."""

_is_suspect = exists().where(accounts.c.name == jobs.c.account, _is_accepted, accounts.c.unknown_submits >= SUSPECT)
"""Whether the last submits of the account have no answer that tells: then few go together."""

asks_vendor = jobs.c.addresses.is_(None)
"""Whether a job's next step makes a request to the vendor: a fetch that knows where the files are makes none."""

opens_at = (
    select(accounts.c.closed_until)
    .where(
        accounts.c.name == jobs.c.account,
        accounts.c.closed_until > now,
        asks_vendor,
        or_(jobs.c.state == JobState.ACCEPTED, accounts.c.closes_reads),
    )
    .scalar_subquery()
)
"""When the account's request limit lets the job's next request through; null: it does now."""

is_closed = opens_at.is_not(None)


def is_due(ticket: Ticket, state: JobState) -> Sequence[ColumnElement[bool]]:
    """Tell whether a job is as the ticket says, due, and neither held nor limited with its account."""
    is_this = (jobs.c.id == ticket.job_id, jobs.c.version == ticket.version, jobs.c.state == state)
    return (*is_this, jobs.c.due_at <= now + SLACK, not_(is_held), not_(is_closed))


def take(
    connection: Connection,
    ticket: Ticket,
    state: JobState,
    lease: timedelta,
    *,
    needs_slot: bool,
    becomes: JobState | None = None,
    session: int | None = None,
    only: ColumnElement[bool] | None = None,
) -> Job | None:
    """Take the job under a lease if it is due, with the slot of the request budget that it needs; else return None."""
    taken = (
        update(jobs)
        .where(*is_due(ticket, state), or_(jobs.c.slot_at.is_not(None), ~asks_vendor) if needs_slot else true())
        .where(true() if only is None else only)
        .values(
            state=becomes or state,
            version=jobs.c.version + 1,
            slot_at=None,
            requests=jobs.c.requests + case((asks_vendor, 1), else_=0),
            lease_until=now + lease,
            sweep_at=now + lease,
            session=session,
        )
        .returning(*SEEN)
    )
    row = connection.execute(taken).mappings().first()
    return Job.from_row(row) if row else None


def take_for_submit(
    connection: Connection, ticket: Ticket, lease: timedelta, token: str, *, needs_slot: bool
) -> Job | None:
    """Take an accepted job with its files; the intent to pay for it is written in the same transaction."""
    state, becomes = JobState.ACCEPTED, JobState.SUBMITTING
    job = take(connection, ticket, state, lease, needs_slot=needs_slot, becomes=becomes, only=not_(_is_suspect))
    if job is None and (account := _suspect(connection, ticket)):
        few = _posting(account) < FEW
        job = take(connection, ticket, state, lease, needs_slot=needs_slot, becomes=becomes, only=few)
    return replace(job, token=token, files=inputs_of(connection, job.id)) if job else None


def _suspect(connection: Connection, ticket: Ticket) -> str | None:
    """Lock a job that is due and its account, if it is one whose submits go a few at a time; return the account.

    Who waits here for another submit's intent counts it.
    """
    due = (*is_due(ticket, JobState.ACCEPTED), _is_suspect)
    account = connection.execute(select(jobs.c.account).where(*due).with_for_update(of=jobs)).scalar()
    if account:
        connection.execute(select(accounts.c.name).where(accounts.c.name == account).with_for_update(key_share=True))
    return account


def _posting(account: str) -> ColumnElement[int]:
    """Count the submits of an account that are under way; derived from the rows, so whoever dies leaks nothing."""
    other = jobs.alias()
    posts = (other.c.phase == Phase.UNDER_WAY, other.c.state == JobState.SUBMITTING, other.c.lease_until > now)
    return select(func.count()).where(other.c.account == account, *posts).scalar_subquery()


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


def until_due(connection: Connection, ticket: Ticket, state: JobState) -> timedelta | None:
    """Return how much too early a ticket is, or None where it is stale or waits as a row.

    Zero for one whose account opened since it could not be taken. A job that waits as a row is the sweep's already.
    """
    comes_at = func.greatest(jobs.c.due_at, opens_at, case((_is_suspect, now + ITS_TURN)))
    query = select(func.greatest(comes_at - now, timedelta(0))).where(
        jobs.c.id == ticket.job_id,
        jobs.c.version == ticket.version,
        jobs.c.state == state,
        or_(comes_at > now, jobs.c.sweep_at > now),
        not_(is_held),
    )
    return connection.execute(query).scalar()


NO_ADDRESSES = {"addresses": None, "kept": None}
"""Of a job that is over: whoever has the address of an output can read it."""


def write(connection: Connection, job: Job, change: Change, grace: timedelta) -> int | None:
    """Write a change if nobody wrote since the job was taken; return the new version, else None."""
    written = (
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.version == job.version)
        .values(_written(job.state, change, grace))
        .returning(jobs.c.version)
    )
    return connection.execute(written).scalar()


def _written(state: JobState, change: Change, grace: timedelta) -> dict[str, Any]:
    learnt = change.learnt.columns()
    stamped: dict[str, Any] = {}
    if change.state is not state:
        stamped = {"waits_for": None, "attempts": 0, "gone_looks": 0, "error_code": None, "error_message": None}
        of_another_run = {"vendor_submitted_at": None, "result": None}
        stamped |= of_another_run if change.state is JobState.PROCESSING else {}
        stamped |= {column.name: now for entered, column in _ENTERED_AT.items() if entered is change.state}
    return {
        "state": change.state,
        "version": jobs.c.version + 1,
        "lease_until": None,
        "session": None,
        "slot_at": None,
        "expired_leases": 0,
        "due_at": now + change.due_in,
        "sweep_at": now + change.due_in + grace,
        **({"refused_at": None} if "remote_status" in learnt else {}),
        **stamped,
        **learnt,
        **(NO_ADDRESSES if change.state.is_final else {}),
    }


def write_late(connection: Connection, job: Job, change: Change, grace: timedelta) -> Job | None:
    """Write an answer that came after its worker had been given up, if the job still waits for one."""
    waiting = [state for state in JobState if next_state(state, change.trigger) is change.state]
    states = [state for state in waiting if state in {JobState.REVIEW, JobState.ACCEPTED}]
    written = (
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.state.in_(states), jobs.c.request_id.is_(None))
        .values(_written(JobState.SUBMITTING, change, grace))
        .returning(*SEEN)
    )
    row = connection.execute(written).mappings().first()
    return Job.from_row(row) if row else None


def find(connection: Connection, job_id: str) -> Job | None:
    """Lock a job's row and read it."""
    row = connection.execute(select(*SEEN).where(jobs.c.id == job_id).with_for_update()).mappings().first()
    return Job.from_row(row) if row else None


def cancel(connection: Connection, job_id: str) -> Job | None:
    """End a job that is not final, or return None."""
    cancelled = (
        update(jobs)
        .where(jobs.c.id == job_id, is_live)
        .values(state=JobState.CANCELLED, version=jobs.c.version + 1, lease_until=None, finished_at=now, **NO_ADDRESSES)
        .returning(*SEEN)
    )
    row = connection.execute(cancelled).mappings().first()
    return Job.from_row(row) if row else None
