"""The times in rows that a step of the database's clock has put into the future."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    Uuid,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    update,
)

from worker.database import outbox
from worker.database.latest import LONGEST_POST
from worker.database.phases import Phase
from worker.database.records import events, submissions
from worker.database.tables import accounts, is_live, jobs, now
from worker.rules.lifecycle import MINUTE, JobState

Columns = tuple[Column[Any], ...]

_LIVE = and_(is_live, jobs.c.state != JobState.REVIEW)
_UNTIL = (jobs.c.due_at, jobs.c.sweep_at, jobs.c.lease_until, jobs.c.slot_at)
_SINCE = (jobs.c.accepted_at, jobs.c.submitted_at, jobs.c.running_at, jobs.c.completed_at)


def move_accounts(connection: Connection, by: timedelta) -> None:
    """Bring what lies ahead in the accounts back by a step."""
    until = (accounts.c.next_slot_at, accounts.c.closed_until)
    since = (accounts.c.held_at, accounts.c.probed_at, accounts.c.closed_at, accounts.c.learnt_at)
    connection.execute(update(accounts).values(_moved(by, until, since)))


def move_jobs(connection: Connection, by: timedelta, after: str, limit: int) -> str | None:
    """Bring what lies ahead in some live jobs back by a step, those of the next ids; return the last of these."""
    chosen = _next(jobs, after, limit).where(_LIVE)
    moved = update(jobs).where(jobs.c.id.in_(chosen)).values(_moved(by, _UNTIL, _SINCE)).returning(jobs.c.id)
    return max(connection.execute(moved).scalars(), default=None)


def move_records(connection: Connection, by: timedelta) -> None:
    """Bring back what is on record later than now: sent for live jobs, answered, or waiting to be announced."""
    of_live = submissions.c.job_id.in_(select(jobs.c.id).where(_LIVE))
    _move_where(connection, submissions.c.answered_at, submissions.c.intended_at > now - LONGEST_POST, by)
    _move_where(connection, submissions.c.intended_at, of_live, by)
    waits = and_(events.c.published_at.is_(None), outbox.is_of(since=now))
    _move_where(connection, events.c.occurred_at, waits, by, left_at=now)  # Their ids still tell the time ahead.


def _move_where(
    connection: Connection, column: Column[Any], which: ColumnElement[bool], by: timedelta, **more: Any
) -> None:
    ahead = update(column.table).where(which, column > now)
    connection.execute(ahead.values({**_moved(by, (), (column,)), **more}))


def bring_back(connection: Connection, further_than: timedelta, runs: Sequence[str], limit: int) -> int:
    """Let some live jobs be due now that lie further ahead than anything is put off; return how many.

    Of those that are under way these ``runs`` may.

    A lease lasts a minute more: a submit may be under way. A slot of the budget may lie as far ahead as it has to.
    """
    far = now + further_than
    # An accepted job is swept no sooner than it is due, so that it lies too far ahead is told by an index.
    brought = _bring_back(connection, jobs.c.waits_until > far, limit)
    is_far = or_(jobs.c.sweep_at > far, jobs.c.due_at > far)
    is_shared = and_(jobs.c.phase == Phase.LATER, jobs.c.state != JobState.REVIEW)
    begun = or_(is_shared, and_(jobs.c.phase == Phase.UNDER_WAY, jobs.c.id.in_(runs)))
    return brought + _bring_back(connection, and_(begun, is_far), limit - brought)


def _bring_back(connection: Connection, lost: ColumnElement[bool], limit: int) -> int:
    its = (lost, jobs.c.slot_at.is_(None))
    chosen = select(jobs.c.id).where(*its).limit(limit).with_for_update(skip_locked=True)
    lease_until = case((jobs.c.lease_until.is_not(None), func.least(jobs.c.lease_until, now + MINUTE)))
    due = {"due_at": func.least(jobs.c.due_at, now), "sweep_at": func.coalesce(lease_until, now)}
    moved = update(jobs).where(jobs.c.id.in_(chosen)).values(**due, lease_until=lease_until)
    return connection.execute(moved).rowcount


def _next(table: Table, after: str, limit: int) -> Any:
    return select(table.c.id).where(table.c.id > cast(literal(after), Uuid)).order_by(table.c.id).limit(limit)


def _moved(by: timedelta, until: Columns, since: Columns) -> dict[str, ColumnElement[Any]]:
    """Move times that lie ahead: those waited for to now at the earliest, those that have been to now at the latest."""
    waited = {each.name: case((each > now, func.greatest(now, each - by)), else_=each) for each in until}
    passed = {each.name: case((each > now, func.least(now, each - by)), else_=each) for each in since}
    return {**waited, **passed}
