"""The request budget of an account: slots that are drawn, a window that is closed, what they were used for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.jobs import asks_vendor, is_closed, is_due, is_held
from worker.database.latest import submitted_since
from worker.database.phases import Phase
from worker.database.records import requests
from worker.database.tables import accounts, is_live, jobs, now
from worker.rules.budget import Kind, Terms
from worker.rules.lifecycle import JobState, Step, Ticket
from worker.rules.outcome import Limited
from worker.rules.retry import JUST_OPENED

UNUSED = timedelta(seconds=2)
"""A slot that was not used for so long is gone: a request that much later would crowd another minute."""

WAITS = "the request budget"

AFTER = {
    JobState.ACCEPTED: (),
    JobState.PROCESSING: (JobState.ACCEPTED,),
    JobState.FETCHING: (JobState.ACCEPTED, JobState.PROCESSING),
}
"""Which jobs' requests come after those of jobs in a state: results before polls before submits."""

_next_slot_at = func.greatest(accounts.c.next_slot_at, now)


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
        due_at = func.least(jobs.c.due_at, now)
        waits = {"slot_at": None, "due_at": due_at, "sweep_at": now, "waits_for": WAITS}
    else:
        count(connection, account, Kind(step.value))
        waits = _at(_first_slot(connection, account, state, slot_at, grace), grace)
    connection.execute(update(jobs).where(jobs.c.id == ticket.job_id).values(waits))


def _last_slot(connection: Connection, account: str, step: Step, terms: Terms, slot: timedelta) -> datetime | None:
    """Return the slot after the last one drawn, or None for a submit that the budget can't afford."""
    if step is Step.SUBMIT:  # What others draw meanwhile is counted only by a statement that begins after it.
        connection.execute(select(accounts.c.name).where(accounts.c.name == account).with_for_update(key_share=True))
    drawn = (
        update(accounts)
        .where(accounts.c.name == account, _is_afforded(terms, slot) if step is Step.SUBMIT else true())
        .values(next_slot_at=_next_slot_at + slot)
        .returning(accounts.c.next_slot_at - slot)
    )
    return connection.execute(drawn).scalar()


def _at(slot_at: datetime, grace: timedelta) -> dict[str, Any]:
    due_at = func.greatest(jobs.c.due_at, slot_at)
    return {"slot_at": slot_at, "due_at": due_at, "sweep_at": func.greatest(jobs.c.sweep_at, slot_at + grace)}


def _first_slot(connection: Connection, account: str, state: JobState, slot_at: datetime, grace: timedelta) -> datetime:
    """Swap slots with a waiting job of less weight: return its slot, and leave it ours."""
    first = (
        select(jobs.c.id, jobs.c.slot_at)
        .where(jobs.c.account == account, is_live, jobs.c.state.in_(AFTER[state]), jobs.c.slot_at.between(now, slot_at))
        .where(jobs.c.sweep_at > now, jobs.c.lease_until.is_(None))
        .order_by(jobs.c.slot_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    for job_id, earlier in connection.execute(first):
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(_at(slot_at, grace)))
        return cast("datetime", earlier)
    return slot_at


def _due(connection: Connection, ticket: Ticket, state: JobState) -> str | None:
    """Lock a job that is due and has no slot; return its account."""
    query = select(jobs.c.account).where(*is_due(ticket, state), _has_none, asks_vendor).with_for_update()
    return connection.execute(query).scalar()


def _is_afforded(terms: Terms, slot: timedelta) -> ColumnElement[bool]:
    """Tell whether few wait for a slot, and whether the polls of what is submitted together can be afforded."""
    return and_(_next_slot_at <= now + terms.queue + slot, _together(terms) < terms.most_together)


def _together(terms: Terms) -> ColumnElement[int]:
    """Count the jobs whose polls fall on the same time, from their rows: a worker that dies leaves no count behind."""
    submitted = _count(*submitted_since(terms.together))
    is_posting = (jobs.c.phase == Phase.UNDER_WAY, jobs.c.state == JobState.SUBMITTING, jobs.c.lease_until > now)
    posting = _count(*is_posting)  # One in doubt is polled by nobody.
    return submitted + posting + _count(*_has_message, _has_slot)


_has_message = (jobs.c.phase == Phase.WAITING, jobs.c.waits_until > now)
_has_slot = jobs.c.slot_at >= now - UNUSED
_has_none = or_(jobs.c.slot_at.is_(None), ~_has_slot)


def _count(*which: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.count()).where(jobs.c.account == accounts.c.name, *which).scalar_subquery()


def charge(connection: Connection, account: str, kind: Kind, slot: timedelta | None) -> None:
    """Take the next slot for a request that can't wait."""
    if slot is not None:
        drawn = update(accounts).where(accounts.c.name == account).values(next_slot_at=_next_slot_at + slot)
        connection.execute(drawn)
        count(connection, account, kind)


def count(connection: Connection, account: str, kind: Kind) -> None:
    """Count a request that was made, in the minute in which it was."""
    row = upsert(requests).values(account=account, minute=func.date_trunc("minute", now), kind=kind)
    connection.execute(
        row.on_conflict_do_update(index_elements=requests.primary_key.columns, set_={"count": requests.c.count + 1})
    )


def has_waiting(connection: Connection, account: str) -> bool:
    """Tell whether jobs wait for the budget: a new one does not overtake them."""
    # One whose message was lost waits for nothing but the scheduler.
    waits = exists().where(*is_waiting(account), jobs.c.waits_for == WAITS)
    return bool(connection.execute(select(waits)).scalar())


def is_waiting(account: str) -> Sequence[ColumnElement[bool]]:
    """Tell which of an account's jobs wait as rows: no message of theirs is under way."""
    return (
        jobs.c.account == account,
        jobs.c.phase == Phase.WAITING,
        jobs.c.waits_until <= now,
        jobs.c.lease_until.is_(None),
    )


def release(connection: Connection, account: str, terms: Terms, again_in: timedelta) -> Sequence[Ticket]:
    """Choose the waiting jobs that can be afforded now, by priority, then age; they have a message from now on."""
    if terms.slot is None:
        return ()
    free = _free(connection, account, terms, terms.slot)
    chosen = _first(connection, account, free) if free else ()
    if chosen:
        sent = jobs.c.id.in_([ticket.job_id for ticket in chosen])
        connection.execute(update(jobs).where(sent).values(sweep_at=now + again_in))
    return chosen


def _first(connection: Connection, account: str, limit: int) -> Sequence[Ticket]:
    query = (
        select(jobs.c.id, jobs.c.version)
        .where(*is_waiting(account), jobs.c.due_at <= now, ~is_held, ~is_closed)
        .order_by(jobs.c.refusals, jobs.c.priority.desc(), jobs.c.accepted_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=jobs)
    )
    return [Ticket(*row) for row in connection.execute(query)]


def _free(connection: Connection, account: str, terms: Terms, slot: timedelta) -> int:
    """Return how many submits the budget affords now, less those whose message is on its way."""
    under_way = _count(*_has_message, _has_none, jobs.c.due_at <= now + terms.queue + slot)
    query = select(_next_slot_at - now, _together(terms), under_way).where(accounts.c.name == account)
    ahead, together, sent = connection.execute(query).one()
    slots = int((terms.queue + slot - ahead) / slot)
    return max(0, min(terms.most_together - int(together), slots) - int(sent))


def close(connection: Connection, account: str, why: Limited, *, is_read: bool) -> bool:
    """Close the account's window after a 429, for reads as well where they count; return whether it was open.

    The limit is lowered once: what was under way meanwhile is answered in the same way.
    """
    count(connection, account, Kind.LIMITED)
    is_open = or_(accounts.c.closed_until.is_(None), accounts.c.closed_until <= now)
    limit = {"learnt_limit": why.learnt_limit, "learnt_at": now} if why.learnt_limit else {}
    opened = {"closed_at": now if why.is_told else None, "closes_reads": why.closes_reads, **limit}
    closed = update(accounts).where(accounts.c.name == account)
    was_open = connection.execute(closed.where(is_open).values(opened).returning(accounts.c.name)).scalar()
    connection.execute(
        closed.values(
            closed_until=func.greatest(accounts.c.closed_until, now + why.opens_in),
            **({"closes_reads": True, "reads_count": True} if is_read else {}),
        )
    )
    return was_open is not None


def note_read(connection: Connection, account: str, asked_at: datetime) -> bool:
    """Note that reads don't count: one was answered while the window was closed. Return whether that is new."""
    learnt = (
        update(accounts)
        .where(
            accounts.c.name == account,
            accounts.c.reads_count.is_(None),
            accounts.c.closed_at < asked_at,
            accounts.c.closed_until > now - JUST_OPENED,
            ~accounts.c.closes_reads,
        )
        .values(reads_count=False)
        .returning(accounts.c.name)
    )
    return connection.execute(learnt).scalar() is not None


def forget(connection: Connection, older_than: timedelta) -> None:
    """Delete the counts of minutes that are older than this."""
    connection.execute(requests.delete().where(requests.c.minute < now - older_than))
