"""Runs that are under way, looked through a page at a time: which something is to be done about.

However many there are, no statement goes through more than a page, in the order of an index that no step changes.
Whoever does something about what was found asks again whether it is so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Interval,
    Select,
    and_,
    bindparam,
    case,
    func,
    not_,
    or_,
    select,
    tuple_,
)

from worker.database.due import is_closed, is_held
from worker.database.phases import Phase
from worker.database.tables import jobs, now
from worker.rules.lifecycle import DRIVEN_BY, JobState

PAGE = 500
"""Runs that one statement goes through."""

READ = (JobState.PROCESSING, JobState.FETCHING)
"""The states in which a run is read: a submit is not taken over by who is gone alone, its POST may be under way."""


@dataclass(frozen=True)
class Seen:
    """A run at its place in the order, and what is to be done about it.

    ``is_left``: it is overdue. ``session``: who reads it. ``is_doubted``: nobody waits for the answer to its submit any
    more. ``is_far``: it lies further ahead than anything is put off. ``is_last``: it ends a page, and another follows.
    """

    accepted_at: datetime
    id: str
    state: JobState
    is_left: bool
    has_lease: bool
    session: int | None
    is_doubted: bool
    is_far: bool
    is_last: bool
    due_at: datetime
    urgency: tuple[Any, ...]


BEGIN = (datetime(1970, 1, 1, tzinfo=UTC), "00000000-0000-0000-0000-000000000000")


def page(connection: Connection, after: Seen | None, further_than: timedelta) -> Sequence[Seen]:
    """Read the next runs about which something is to be done, and the last of the page, if another page follows."""
    accepted_at, job_id = (after.accepted_at, after.id) if after else BEGIN
    values = {"after_at": accepted_at, "after_id": job_id, "further_than": further_than}
    rows = connection.execute(_page(), values)
    return [_seen(row) for row in rows]


def _seen(row: Any) -> Seen:
    urgency = (
        row.submitted_at is None,
        row.submitted_at or row.accepted_at,
        row.refusals,
        -row.priority,
        row.accepted_at,
    )
    known = {name: getattr(row, name) for name in Seen.__dataclass_fields__ if name not in {"state", "urgency"}}
    return Seen(**known, state=JobState(row.state), urgency=urgency)


@cache
def _page() -> Select[Any]:
    number = func.row_number().over(order_by=(jobs.c.accepted_at, jobs.c.id)).label("number")
    shown = (jobs.c.id, jobs.c.accepted_at, jobs.c.state, jobs.c.due_at, jobs.c.submitted_at, jobs.c.refusals)
    place = tuple_(jobs.c.accepted_at, jobs.c.id)
    after = tuple_(bindparam("after_at", type_=jobs.c.accepted_at.type), bindparam("after_id", type_=jobs.c.id.type))
    runs = (
        select(*shown, jobs.c.priority, number, *_what_is_to_be_done())
        .where(jobs.c.phase == Phase.UNDER_WAY, place > after)
        .order_by(jobs.c.accepted_at, jobs.c.id)
        .limit(PAGE)
        .subquery()
    )
    its = runs.c
    is_found = or_(its.is_left, its.session.is_not(None), its.is_doubted, its.is_far, its.number == PAGE)
    is_last = (its.number == PAGE).label("is_last")
    return select(runs, is_last).where(is_found).order_by(its.accepted_at, its.id)


def _what_is_to_be_done() -> Sequence[ColumnElement[Any]]:
    driven = [state for state, step in DRIVEN_BY.items() if step]
    left = and_(jobs.c.sweep_at <= now, jobs.c.state.in_(driven), not_(is_held), not_(is_closed))
    is_read = and_(jobs.c.state.in_(READ), jobs.c.lease_until > now)
    is_unanswered = or_(jobs.c.lease_until.is_(None), jobs.c.lease_until <= now)
    doubted = and_(jobs.c.state == JobState.SUBMITTING, jobs.c.due_at <= now, is_unanswered, not_(is_held))
    far = now + bindparam("further_than", type_=Interval)
    lost = and_(jobs.c.slot_at.is_(None), or_(jobs.c.sweep_at > far, jobs.c.due_at > far))
    return (
        left.label("is_left"),
        jobs.c.lease_until.is_not(None).label("has_lease"),
        case((is_read, jobs.c.session)).label("session"),
        doubted.label("is_doubted"),
        lost.label("is_far"),
    )
