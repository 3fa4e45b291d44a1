"""A job's life: take it under a lease, write what a step learnt, find what was left behind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Interval,
    Select,
    Update,
    bindparam,
    case,
    func,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from worker.database.arrivals import inputs_of
from worker.database.due import (
    ITS_TURN,
    asks_vendor,
    is_as_said,
    is_due,
    is_held,
    is_in_trouble,
    is_suspect,
    opens_at,
    said,
)
from worker.database.latest import are_posting
from worker.database.tables import SEEN, accounts, is_live, jobs, now
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Ticket, next_state
from worker.rules.outcome import Change
from worker.rules.standing import FEW

_ENTERED_AT = {JobState.PROCESSING: jobs.c.submitted_at, JobState.FETCHING: jobs.c.completed_at} | {
    s: jobs.c.finished_at for s in JobState if s.is_final
}
"""The column that is stamped when a job enters a state."""


def take(
    connection: Connection,
    ticket: Ticket,
    state: JobState,
    lease: timedelta,
    *,
    needs_slot: bool,
    session: int | None = None,
) -> Job | None:
    """Take the job under a lease if it is due, with the slot of the request budget that it needs; else return None."""
    values = {**said(ticket, state), "state": state, "lease": lease, "session": session}
    return _job(connection, _taking(needs_slot=needs_slot), values)


def _job(connection: Connection, statement: Executable, values: Mapping[str, Any]) -> Job | None:
    row = connection.execute(statement, values).mappings().first()
    return Job.from_row(row) if row else None


@cache
def _taking(*, needs_slot: bool, only: Callable[[], ColumnElement[bool]] = true) -> Executable:
    """Take a job that is due; ``only``: if that holds as well."""
    return taken().where(*is_due, has_slot if needs_slot else true(), only()).returning(*TAKEN)


has_slot = or_(jobs.c.slot_at.is_not(None), ~asks_vendor)
"""Whether a job has drawn a slot of the request budget, if its next step needs one."""


TAKEN = (*SEEN, is_in_trouble.label("is_in_trouble"))
"""What is read of a job with its taking."""


def taken() -> Update:
    """Write that a job is taken, and that it uses the slot that it has for a request to the vendor, if it makes one."""
    made = jobs.c.requests + case((asks_vendor, 1), else_=0)
    until = now + bindparam("lease", type_=Interval)
    values = {"slot_at": None, "requests": made, "lease_until": until, "sweep_at": until}
    return update(jobs).values(version=jobs.c.version + 1, **values)


def take_for_submit(
    connection: Connection, ticket: Ticket, lease: timedelta, token: str, *, needs_slot: bool
) -> Job | None:
    """Take an accepted job with its files; the intent to pay for it is written in the same transaction."""
    becomes = {"state": JobState.SUBMITTING, "lease": lease, "session": None}
    values = {**said(ticket, JobState.ACCEPTED), **becomes}
    job = _job(connection, _taking(needs_slot=needs_slot, only=_is_unsuspected), values)
    if job is None and (account := _suspect(connection, ticket)):
        job = _job(connection, _taking(needs_slot=needs_slot, only=_are_few), {**values, "payer": account})
    return replace(job, token=token, files=inputs_of(connection, job.id)) if job else None


def _is_unsuspected() -> ColumnElement[bool]:
    return not_(is_suspect)


def _are_few() -> ColumnElement[bool]:
    """Count the submits of an account that are under way; derived from the rows, so whoever dies leaks nothing."""
    other = jobs.alias()
    posting = select(func.count()).select_from(other).where(other.c.account == bindparam("payer"), *are_posting(other))
    return posting.scalar_subquery() < FEW


def _suspect(connection: Connection, ticket: Ticket) -> str | None:
    """Lock a job that is due and its account, if it is one whose submits go a few at a time; return the account.

    Who waits here for another submit's intent counts it.
    """
    account = connection.execute(_suspected(), said(ticket, JobState.ACCEPTED)).scalar()
    if account:
        connection.execute(select(accounts.c.name).where(accounts.c.name == account).with_for_update(key_share=True))
    return account


@cache
def _suspected() -> Select[str]:
    return select(jobs.c.account).where(*is_due, is_suspect).with_for_update(of=jobs)


def until_due(connection: Connection, ticket: Ticket, state: JobState) -> timedelta | None:
    """Return how much too early a ticket is, or None where it is stale or waits as a row.

    Zero for one whose account opened since it could not be taken. A job that waits as a row is the sweep's already.
    """
    return connection.execute(_until_due(), said(ticket, state)).scalar()


@cache
def _until_due() -> Select[timedelta]:
    comes_at = func.greatest(jobs.c.due_at, opens_at, case((is_suspect, now + ITS_TURN)))
    is_awaited = or_(comes_at > now, jobs.c.sweep_at > now)
    return select(func.greatest(comes_at - now, timedelta(0))).where(*is_as_said, is_awaited, not_(is_held))


NO_ADDRESSES = {"addresses": None, "kept": None}
"""Of a job that is over: whoever has the address of an output can read it."""


class Written(NamedTuple):
    """The new version of a job that was written, and whether what was learnt can tell of its account."""

    version: int
    is_in_trouble: bool


def write(connection: Connection, job: Job, change: Change, grace: timedelta) -> Written | None:
    """Write a change if nobody wrote since the job was taken, else return None."""
    values = {"job": job.id, "seen": job.version, **values_of(job.state, change), **FREE, "grace": grace}
    row = connection.execute(_writing(stamp_of(job.state, change)), values).first()
    return Written(*row) if row else None


FREE = {"lease_until": None, "session": None}
"""Of a job that nobody has taken."""


@cache
def _writing(stamped: str | None) -> ReturningUpdate[int, bool]:
    which = (jobs.c.id == bindparam("job"), jobs.c.version == bindparam("seen"))
    return changing(stamped).where(*which).returning(jobs.c.version, is_in_trouble)


def changing(stamped: str | None) -> Update:
    """Change a job, and note that something has ended now; the columns beside these are those of the parameters."""
    due_at = now + bindparam("due_in", type_=Interval)
    sweep_at = due_at + bindparam("grace", type_=Interval)
    stamps = {stamped: now} if stamped else {}
    return update(jobs).values(version=jobs.c.version + 1, due_at=due_at, sweep_at=sweep_at, **stamps)


def stamp_of(state: JobState, change: Change) -> str | None:
    """Return the column that says since when a job is in its new state, unless the time was learnt."""
    column = _ENTERED_AT.get(change.state) if change.state is not state else None
    return column.name if column is not None and column.name not in change.learnt.columns() else None


def values_of(state: JobState, change: Change) -> dict[str, Any]:
    """Return what a row says of a change, beside the stamp, and in how long the next step is due."""
    learnt = change.learnt.columns()
    of_new_state: dict[str, Any] = {}
    if change.state is not state:
        of_new_state = {"waits_for": None, "attempts": 0, "gone_looks": 0, "error_code": None, "error_message": None}
        of_another_run = {"vendor_submitted_at": None, "result": None}
        of_new_state |= of_another_run if change.state is JobState.PROCESSING else {}
    return {
        "state": change.state,
        "slot_at": None,
        "expired_leases": 0,
        "due_in": change.due_in,
        **({"refused_at": None} if "remote_status" in learnt else {}),
        **of_new_state,
        **learnt,
        **(NO_ADDRESSES if change.state.is_final else {}),
    }


def write_late(connection: Connection, job: Job, change: Change, grace: timedelta) -> Job | None:
    """Write an answer that came after its worker had been given up, if the job still waits for one."""
    waiting = [state for state in JobState if next_state(state, change.trigger) is change.state]
    states = [state for state in waiting if state in {JobState.REVIEW, JobState.ACCEPTED}]
    written = (
        changing(stamp_of(JobState.SUBMITTING, change))
        .where(jobs.c.id == job.id, jobs.c.state.in_(states), jobs.c.request_id.is_(None))
        .returning(*SEEN)
    )
    values = {**values_of(JobState.SUBMITTING, change), **FREE, "grace": grace}
    row = connection.execute(written, values).mappings().first()
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
