"""The request budget of an account: slots that are drawn, and what they were used for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Interval,
    Select,
    Update,
    and_,
    bindparam,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import Insert as Upsert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningUpdate

from worker.database import line
from worker.database.due import asks_vendor, is_due, said
from worker.database.latest import are_posting, submitted_since
from worker.database.phases import Phase
from worker.database.records import requests
from worker.database.tables import TIME, accounts, jobs, now
from worker.rules.budget import Kind, Terms
from worker.rules.lifecycle import JobState, Step, Ticket

UNUSED = timedelta(seconds=2)
"""A slot that was not used for so long is gone: a request that much later would crowd another minute."""

WAITS = "the request budget"

AFTER = {
    JobState.ACCEPTED: (),
    JobState.PROCESSING: (JobState.ACCEPTED,),
    JobState.FETCHING: (JobState.ACCEPTED, JobState.PROCESSING),
}
"""Which jobs' requests come after those of jobs in a state: results before polls before submits."""

next_slot_at = func.greatest(accounts.c.next_slot_at, now)
"""The slot that is drawn next: what was not drawn before now is lost."""


def draw(connection: Connection, ticket: Ticket, step: Step, state: JobState, terms: Terms, grace: timedelta) -> None:
    """Give a job that is due the account's next slot; the job is due then. One that has a slot keeps it.

    A submit gets one only where it can be afforded; else its job waits as a row, for the scheduler.
    """
    if terms.slot is None:
        return
    account = _due(connection, ticket, state)
    if account is None:
        return
    slot_at = _last_slot(connection, account, step, terms, terms.slot)
    if slot_at is None:
        connection.execute(_letting_wait(), {"job": ticket.job_id})
    else:
        count(connection, account, Kind(step.value))
        _give(connection, ticket.job_id, _first_slot(connection, account, state, slot_at, grace), grace)


@cache
def _letting_wait() -> Update:
    waits = {"slot_at": None, "due_at": func.least(jobs.c.due_at, now), "sweep_at": now, "waits_for": WAITS}
    return update(jobs).where(jobs.c.id == bindparam("job")).values(waits)


def _last_slot(connection: Connection, account: str, step: Step, terms: Terms, slot: timedelta) -> datetime | None:
    """Return the slot after the last one drawn, or None for a submit that the budget can't afford."""
    is_submit = step is Step.SUBMIT
    if is_submit:  # What others draw meanwhile is counted only by a statement that begins after it.
        connection.execute(_locking(), {"payer": account})
    limits = limits_of(terms) if is_submit else {}
    return connection.execute(_drawing(is_submit=is_submit), {"payer": account, "slot": slot, **limits}).scalar()


@cache
def _locking() -> Select[str]:
    return select(accounts.c.name).where(accounts.c.name == bindparam("payer")).with_for_update(key_share=True)


@cache
def _drawing(*, is_submit: bool) -> ReturningUpdate[datetime]:
    slot = bindparam("slot", type_=Interval)
    return (
        update(accounts)
        .where(accounts.c.name == bindparam("payer"), _is_afforded() if is_submit else true())
        .values(next_slot_at=next_slot_at + slot)
        .returning(accounts.c.next_slot_at - slot)
    )


def _give(connection: Connection, job_id: str, slot_at: datetime, grace: timedelta) -> None:
    connection.execute(_giving(), {"job": job_id, "slot_at": slot_at, "at": slot_at, "with_grace": slot_at + grace})


@cache
def _giving() -> Update:
    """Give a job its slot: it is due then, and left behind some time after."""
    times = {"due_at": bindparam("at", type_=TIME), "sweep_at": bindparam("with_grace", type_=TIME)}
    later = {name: func.greatest(jobs.c[name], at) for name, at in times.items()}
    return update(jobs).where(jobs.c.id == bindparam("job")).values(later)


def _first_slot(connection: Connection, account: str, state: JobState, slot_at: datetime, grace: timedelta) -> datetime:
    """Swap slots with a waiting job of less weight: return its slot, and leave it ours."""
    for job_id, earlier in connection.execute(_less_urgent(state), {"payer": account, "until": slot_at}):
        _give(connection, job_id, slot_at, grace)
        return cast("datetime", earlier)
    return slot_at


@cache
def _less_urgent(state: JobState) -> Executable:
    is_earlier = jobs.c.slot_at.between(now, bindparam("until"))
    is_after = [
        jobs.c.waits_until > now
        if each is JobState.ACCEPTED
        else and_(jobs.c.phase == Phase.UNDER_WAY, jobs.c.state == each)
        for each in AFTER[state]
    ]
    return (
        select(jobs.c.id, jobs.c.slot_at)
        .where(jobs.c.account == bindparam("payer"), or_(false(), *is_after), is_earlier)
        .where(jobs.c.sweep_at > now, jobs.c.lease_until.is_(None))
        .order_by(jobs.c.slot_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _due(connection: Connection, ticket: Ticket, state: JobState) -> str | None:
    """Lock a job that is due and has no slot; return its account."""
    return connection.execute(_account_of(), said(ticket, state)).scalar()


@cache
def _account_of() -> Select[str]:
    return select(jobs.c.account).where(*is_due, has_no_slot, asks_vendor).with_for_update()


def limits_of(terms: Terms) -> dict[str, Any]:
    """Return the parameters that tell what a submit can be afforded by."""
    return {"queue": terms.queue, "slot": terms.slot, "together": terms.together, "most": terms.most_together}


def _is_afforded() -> ColumnElement[bool]:
    """Tell whether few wait for a slot, and whether the polls of what is submitted together can be afforded."""
    return and_(is_queue_short(), count_together(accounts.c.name) < bindparam("most", type_=Integer))


def is_queue_short() -> ColumnElement[bool]:
    """Tell whether so few wait for a slot that a submit gets one as well."""
    return next_slot_at <= now + bindparam("queue", type_=Interval) + bindparam("slot", type_=Interval)


def count_together(account: ColumnElement[str]) -> ColumnElement[int]:
    """Count the jobs whose polls fall on the same time, from their rows: a worker that dies leaves no count behind."""
    submitted = _count(account, *submitted_since(bindparam("together", type_=Interval)))
    posting = _count(account, *are_posting())  # One in doubt is polled by nobody.
    return submitted + posting + _count(account, *_has_message, _has_slot)


_has_message = (jobs.c.waits_until > now,)  # Only an accepted one waits until a time.
_has_slot = jobs.c.slot_at >= now - UNUSED
has_no_slot = or_(jobs.c.slot_at.is_(None), ~_has_slot)


def _count(account: ColumnElement[str], *which: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.count()).where(jobs.c.account == account, *which).scalar_subquery()


def charge(connection: Connection, account: str, kind: Kind, slot: timedelta | None) -> None:
    """Take the next slot for a request that can't wait."""
    if slot is not None:
        drawn = update(accounts).where(accounts.c.name == account).values(next_slot_at=next_slot_at + slot)
        connection.execute(drawn)
        count(connection, account, kind)


def count(connection: Connection, account: str, kind: Kind) -> None:
    """Count a request that was made, in the minute in which it was."""
    connection.execute(_counting(), {"account": account, "kind": kind})


@cache
def _counting() -> Upsert:
    return once_more(upsert(requests).values(minute=func.date_trunc("minute", now)))


def once_more(row: Upsert) -> Upsert:
    """Count one more where its minute has a count."""
    added = {"count": requests.c.count + 1}
    return row.on_conflict_do_update(index_elements=requests.primary_key.columns, set_=added)


def has_waiting(connection: Connection, account: str) -> bool:
    """Tell whether jobs wait for the budget: a new one does not overtake them."""
    return bool(connection.execute(_has_waiting(), {"payer": account}).scalar())


@cache
def _has_waiting() -> Select[bool]:
    return select(are_waiting(bindparam("payer")))


def are_waiting(account: BindParameter[str]) -> ColumnElement[bool]:
    """Tell whether jobs of an account wait for the budget; one whose message was lost waits for the scheduler alone."""
    return line.any_waits_for(account, WAITS)


def release(connection: Connection, account: str, terms: Terms, again_in: timedelta) -> Sequence[Ticket]:
    """Choose the waiting jobs that can be afforded now, by priority, then age; they have a message from now on."""
    if terms.slot is None:
        return ()
    free = _free(connection, account, terms, terms.slot)
    found = line.first(connection, account, free, (jobs.c.id, jobs.c.version)) if free else ()
    chosen = [Ticket(row.id, row.version) for row in found]
    if chosen:
        sent = jobs.c.id.in_([ticket.job_id for ticket in chosen])
        connection.execute(update(jobs).where(sent).values(sweep_at=now + again_in))
    return chosen


def _free(connection: Connection, account: str, terms: Terms, slot: timedelta) -> int:
    """Return how many submits the budget affords now, less those whose message is on its way."""
    reach = {"together": terms.together, "within": terms.queue + slot}
    ahead, together, sent = connection.execute(_standing(), {"payer": account, **reach}).one()
    slots = int((terms.queue + slot - ahead) / slot)
    return max(0, min(terms.most_together - int(together), slots) - int(sent))


@cache
def _standing() -> Select[timedelta, int, int]:
    """Read how far ahead the next slot is, how many go together, and how many messages come for a slot."""
    is_soon = jobs.c.due_at <= now + bindparam("within", type_=Interval)
    sent = _count(accounts.c.name, *_has_message, has_no_slot, is_soon)
    query = select(next_slot_at - now, count_together(accounts.c.name), sent)
    return query.where(accounts.c.name == bindparam("payer"))
