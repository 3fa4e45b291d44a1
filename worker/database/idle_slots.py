"""Slots that nobody waits for: each is drawn by one statement, which finds nothing where :mod:`slots` has to decide.

Such a slot is due at once, so there is nobody to swap it with: whoever has an earlier one goes as soon.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Integer,
    Interval,
    and_,
    bindparam,
    case,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from worker.database.due import SLACK, asks_vendor, is_due, lets_few_through, said, stops_submits
from worker.database.jobs import TAKEN, taken
from worker.database.records import requests
from worker.database.slots import count_together, has_no_slot, is_queue_short, limits_of, next_slot_at, once_more
from worker.database.tables import TIME, accounts, jobs, now
from worker.rules.budget import Kind, Margin, Terms
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Ticket

_SLOT = bindparam("slot", type_=Interval)

is_idle = next_slot_at <= now + SLACK
"""Whether the next slot of an account is due at once."""

_lets_reads_through = and_(
    or_(accounts.c.closed_until.is_(None), accounts.c.closed_until <= now, not_(accounts.c.closes_reads)),
    or_(accounts.c.held_at.is_(None), not_(accounts.c.stops_reads)),
)
"""As the row is that is written, though the account was stopped while its lock was waited for."""

_lets_submits_through = and_(stops_submits.is_not(true()), not_(lets_few_through))
"""As that row is, too. The job that may try a held account goes the longer way."""


def take(
    connection: Connection, ticket: Ticket, state: JobState, kind: Kind, terms: Terms, lease: timedelta, session: int
) -> Job | None:
    """Take a job to read its run, if it is due: with the slot that it has, or the next one if that is due as well.

    None where it is not, and where it has to wait for its slot: nothing is written then.
    """
    of_lease = {"state": state, "lease": lease, "session": session}
    values = {**said(ticket, state), **of_lease, "kind": kind, "slot": terms.slot}
    row = connection.execute(_taking(), values).mappings().first()
    return Job.from_row(row) if row else None


@cache
def _taking() -> ReturningUpdate[Any]:
    needs_slot = and_(has_no_slot, asks_vendor).label("needs_slot")
    due = select(jobs.c.id, jobs.c.account, needs_slot).where(*is_due).with_for_update().cte("due")
    drawn = _drawn(due, due.c.needs_slot, _lets_reads_through)
    ready = union_all(select(due.c.id).where(not_(due.c.needs_slot)), select(drawn.c.id)).cte("ready")
    return taken().where(jobs.c.id == ready.c.id).add_cte(counted(drawn)).returning(*TAKEN)


def _drawn(due: CTE, *conditions: ColumnElement[bool]) -> CTE:
    """Draw the next slot for a job that is locked already: everybody locks it before its account."""
    drawn = update(accounts).where(accounts.c.name == due.c.account, is_idle, *conditions)
    slot_at = (accounts.c.next_slot_at - _SLOT).label("slot_at")
    return drawn.values(next_slot_at=next_slot_at + _SLOT).returning(due.c.id, due.c.account, slot_at).cte("drawn")


def counted(drawn: CTE) -> CTE:
    """Count the request that a slot was drawn for."""
    return _counting(drawn.c.account).returning(requests.c.account).cte("counted")


def _counting(account: ColumnElement[str]) -> Insert:
    row = select(account, func.date_trunc("minute", now), bindparam("kind"))
    return once_more(upsert(requests).from_select(["account", "minute", "kind"], row))


def drawing(terms: Terms, margin: Margin) -> Mapping[str, Any]:
    """Return the parameters of a submit's draw: what it is afforded by, and the margin that is known."""
    return {**limits_of(terms), **margin._asdict(), "kind": Kind.SUBMIT}


def drawn_for_submit(due: CTE) -> CTE:
    """Draw the next slot for a submit that is locked, if it is due and can be afforded.

    What is submitted together is counted, which takes long, where the slot is not in the margin that is known.
    """
    counted = _counted_margin()
    last = func.coalesce(accounts.c.next_slot_at, _NEVER)
    is_counted = and_(is_idle, is_queue_short(), last.between(*counted))  # In this order: else it is counted in vain.
    is_afforded = and_(is_queue_short(), or_(last.between(*_KNOWN), is_counted))
    return _drawn(due, _lets_submits_through, is_afforded)


_KNOWN = bindparam("begins_at", type_=TIME), bindparam("ends_at", type_=TIME)


def margin_after(drawn: CTE) -> Sequence[ColumnElement[datetime | None]]:
    """Return the columns of the margin that was counted for a draw; null where it was known."""
    is_new = not_(drawn.c.slot_at.between(*_KNOWN))
    counted = zip(Margin._fields, _counted_margin(), strict=True)
    return [case((is_new, each)).label(name) for name, each in counted]


@cache
def _counted_margin() -> tuple[ColumnElement[datetime], ColumnElement[datetime]]:
    """Return the begin and the end of the margin as the statement begins, which is counted only if it is asked for.

    What others draw while the statement waits for the account's row is not counted, but has moved the next slot on.
    """
    seen = accounts.alias("seen")
    account = select(jobs.c.account).where(jobs.c.id == bindparam("job")).scalar_subquery()
    begins_at = func.coalesce(seen.c.next_slot_at, _NEVER)
    free = bindparam("most", type_=Integer) - 1 - count_together(seen.c.name)
    both = (begins_at.label("begins_at"), (begins_at + _SLOT.op("*", precedence=8)(free)).label("ends_at"))
    margin = select(*both).where(seen.c.name == account).cte("margin")
    return select(margin.c.begins_at).scalar_subquery(), select(margin.c.ends_at).scalar_subquery()


_NEVER = literal(datetime(1970, 1, 1, tzinfo=UTC), TIME)
"""The next slot of an account that has none yet."""


def use(connection: Connection, account: str, kind: Kind, terms: Terms) -> bool:
    """Draw the next slot for a read that is made at once, if it is due and the account lets reads through.

    Return whether it is so. No job's row has it: if its worker dies, it is lost.
    """
    if terms.slot is None:
        return False
    return connection.execute(_using(), {"payer": account, "kind": kind, "slot": terms.slot}).first() is not None


@cache
def _using() -> ReturningInsert[str]:
    drawn = update(accounts).where(accounts.c.name == bindparam("payer"), is_idle, _lets_reads_through)
    drawn_for = drawn.values(next_slot_at=next_slot_at + _SLOT).returning(accounts.c.name).cte("drawn")
    return _counting(drawn_for.c.name).returning(requests.c.account)
