"""A job's events: written with the change they tell of, marked when the broker has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Executable,
    Row,
    Update,
    all_,
    and_,
    any_,
    bindparam,
    case,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.records import events, outbox
from worker.database.tables import TIME, jobs, now
from worker.rules.lifecycle import EventType


@dataclass(frozen=True)
class Event:
    """A row of the outbox: the same id however often it is sent."""

    id: str
    job_id: str | None
    type: EventType
    payload: Mapping[str, Any] = field(repr=False)
    occurred_at: datetime
    correlation_id: str | None = None


def event_of(row: Row[*tuple[Any, ...]]) -> Event:
    """Return the event that a row tells by the columns of :data:`TOLD`."""
    return Event(row.id, row.job_id, EventType(row.type), row.payload, row.occurred_at, row.correlation_id)


TOLD = (
    events.c.id,
    events.c.job_id,
    events.c.type,
    events.c.payload,
    events.c.occurred_at,
    events.c.correlation_id,
)
"""What is read of an event that is to be announced."""

id_of_now = func.sam3d_event_id(now)
"""The id of an event that is written now: they are in the order of their times."""


def add(connection: Connection, kind: EventType, job_id: str | None, payload: Mapping[str, Any]) -> Event:
    """Write an event in the transaction of its change, with what the job's sender calls it."""
    called = {"job": job_id} if job_id else {"correlation_id": None}
    return _add(connection, kind, job_id, payload, called)


def add_refusal(connection: Connection, job_id: str, payload: Mapping[str, Any], correlation_id: str | None) -> Event:
    """Write the event of a message that was refused, whose sender may be another than that of the job it names."""
    return _add(connection, EventType.REFUSED, job_id, payload, {"correlation_id": correlation_id})


def _add(
    connection: Connection,
    kind: EventType,
    job_id: str | None,
    payload: Mapping[str, Any],
    called: Mapping[str, str | None],
) -> Event:
    values = {"job_id": job_id, "type": kind, "payload": payload, **called}
    return event_of(connection.execute(_adding(as_its_job="job" in called), values).one())


@cache
def _adding(*, as_its_job: bool) -> Executable:
    called = select(jobs.c.correlation_id).where(jobs.c.id == bindparam("job")).scalar_subquery()
    row = insert(events).values(id=id_of_now)
    return (row.values(correlation_id=called) if as_its_job else row).returning(*TOLD)


def unwritten(
    connection: Connection, kind: EventType, job_id: str, payload: Mapping[str, Any], correlation_id: str | None
) -> Event:
    """Make an event of this time that is no row: whoever announces it keeps what it answers until it is out."""
    at = connection.execute(select(now)).scalar_one()
    return Event(str(uuid4()), job_id, kind, payload, at, correlation_id)


def newest(connection: Connection, job_id: str, kind: EventType) -> Event | None:
    """Find the last event of a type of a job, as it was told first."""
    query = select(*TOLD).where(events.c.job_id == job_id, events.c.type == kind, events.c.duplicate_of.is_(None))
    row = connection.execute(query.order_by(events.c.position.desc()).limit(1)).first()
    return event_of(row) if row else None


@dataclass(frozen=True)
class Retellings:
    """How often an event was told again, and the minute in which that is asked."""

    count: int
    minute: datetime


def retellings(connection: Connection, first: Event) -> Retellings:
    """Count under how many ids an event was told again."""
    told = select(func.count(), func.date_trunc("minute", now))
    row = connection.execute(told.where(events.c.job_id == first.job_id, events.c.duplicate_of == first.id)).one()
    return Retellings(*row)


def tell_again(
    connection: Connection, first: Event, event_id: str, more: Mapping[str, Any], correlation_id: str | None = None
) -> Event:
    """Put into the outbox what an event said, and that it is said again; under the same id it is one event."""
    row = upsert(events).values(
        id=event_id,
        job_id=first.job_id,
        type=first.type,
        payload={**first.payload, **more},
        duplicate_of=first.id,
        correlation_id=correlation_id,
    )
    unpublished_again = {"published_at": None, "was_routed": None}
    told = row.on_conflict_do_update(index_elements=[events.c.id], set_=unpublished_again).returning(*TOLD)
    return event_of(connection.execute(told).one())


Time = ColumnElement[datetime]


def is_of(since: Time | None = None, until: Time | None = None) -> ColumnElement[bool]:
    """Tell which events are of a time, by their ids, which are in its order; the few whose are not have an index."""
    at, told = events.c.occurred_at, text("substr(events.id::text, 15, 1) <> '7'")
    began = () if since is None else (at >= since, events.c.id >= _first_id(since - _NEAR))
    ended = () if until is None else (at <= until, events.c.id <= _first_id(until + _NEAR))
    return and_(*began[:1], *ended[:1], or_(and_(*began[1:], *ended[1:]), told))


_NEAR = timedelta(seconds=1)
"""By which the time of an id and that of its event differ at most: both are of one statement."""


def _first_id(at: Time) -> ColumnElement[str]:
    return func.sam3d_first_id(at, type_=events.c.id.type)


AT_MOST = timedelta(minutes=10)
"""How far the outbox begins before what is under way at least: two clocks, or one that was set, may differ."""

_SLICE = timedelta(hours=1)
_SET_BACK = outbox.c.begins_at > now - AT_MOST
_begin = case((_SET_BACK, now - timedelta(days=1)), else_=outbox.c.begins_at)
"""From when on to look; the outbox begins in the future where the clock was set back."""

_OLDEST: ColumnElement[datetime] = literal_column(
    "(SELECT min(xact_start) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid())", TIME
)
"""Since when somebody writes who has not committed: his events are as old, and not seen yet, however long it takes."""


@dataclass(frozen=True)
class Walk:
    """How far the outbox was looked through, from its begin, and whether all that waits there was left."""

    until: datetime | None = None
    has_all: bool = True


def leave(connection: Connection, older_than: timedelta, walk: Walk) -> Walk | None:
    """Mark what should be out and is not, of an hour from where a walk is; return how far it is, if there is more.

    Those few have an index. One of all events that wait would have each event, and to take it out again would write to
    every index of events. The outbox begins so early that who was about to commit is seen the next time, and what
    somebody was marking just now if he did not.
    """
    first = _begin if walk.until is None else literal(walk.until, TIME)
    last = now - older_than
    seen = select(first, func.least(first + _SLICE, last), first + _SLICE < last).select_from(outbox)
    begin, end, has_more = connection.execute(seen).one()
    has_all = _leave(connection, is_of(literal(begin, TIME), literal(end, TIME))) and walk.has_all
    if has_more:
        return Walk(end, has_all)
    if has_all:
        _move(connection, end)
    return None


def _leave(connection: Connection, its_hour: ColumnElement[bool]) -> bool:
    """Mark what waits of a time; return whether that is all of it.

    Who marks several just now and whoever is here would wait for one another, so his are passed over.
    """
    waits = (events.c.published_at.is_(None), events.c.left_at.is_(None))
    late = select(events.c.id).where(*waits, its_hour).cte("late")
    free = select(events.c.id).where(*waits, events.c.id.in_(select(late.c.id))).with_for_update(skip_locked=True)
    left = update(events).where(events.c.id.in_(free)).values(left_at=now).returning(events.c.id).cte("left_now")
    counts = (select(func.count()).select_from(each).scalar_subquery() for each in (late, left))
    of_late, of_left = connection.execute(select(*counts)).one()
    return bool(of_late == of_left)


def _move(connection: Connection, end: datetime) -> None:
    """Let the outbox begin later; it is seldom written."""
    begin = func.least(literal(end, TIME), func.least(now, _OLDEST) - AT_MOST)
    is_far = or_(outbox.c.begins_at + AT_MOST < begin, _SET_BACK)
    connection.execute(update(outbox).where(is_far).values(begins_at=begin))


def unpublished(connection: Connection, limit: int) -> Sequence[Event]:
    """List what was left, oldest first, without what somebody is marking just now."""
    query = select(*TOLD).where(events.c.left_at.is_not(None), events.c.published_at.is_(None))
    first = query.order_by(events.c.position).limit(limit).with_for_update(skip_locked=True)
    return [event_of(row) for row in connection.execute(first)]


def mark_published(connection: Connection, were_routed: Mapping[str, bool]) -> None:
    """Note in one statement that the broker confirmed events; by the id of each, whether any queue took it."""
    unheard = [event_id for event_id, was_routed in were_routed.items() if not was_routed]
    connection.execute(_marking(), {"events": list(were_routed), "unheard": unheard})


@cache
def _marking() -> Update:
    ids = ARRAY(events.c.id.type)
    named, unheard = bindparam("events", type_=ids), bindparam("unheard", type_=ids)
    was_routed = events.c.id != all_(unheard)
    return update(events).where(events.c.id == any_(named)).values(published_at=now, was_routed=was_routed)
