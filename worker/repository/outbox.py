"""A job's events: written with the change they tell of, marked when the broker has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, insert, select, update

from worker.lifecycle import EventType
from worker.models import events, now


@dataclass(frozen=True)
class Event:
    """A row of the outbox: the same id however often it is sent."""

    id: str
    job_id: str | None
    type: EventType
    payload: Mapping[str, Any]
    occurred_at: datetime


def _event(row: Row[Any, Any, Any, Any, Any]) -> Event:
    return Event(row.id, row.job_id, EventType(row.type), row.payload, row.occurred_at)


_COLUMNS = (events.c.id, events.c.job_id, events.c.type, events.c.payload, events.c.occurred_at)


def add(connection: Connection, kind: EventType, job_id: str | None, payload: Mapping[str, Any]) -> Event:
    """Write an event in the transaction of its change."""
    row = insert(events).values(id=str(uuid4()), job_id=job_id, type=kind, payload=payload).returning(*_COLUMNS)
    return _event(connection.execute(row).one())


def newest(connection: Connection, job_id: str, kind: EventType) -> Event | None:
    """Find the last event of a type of a job."""
    query = select(*_COLUMNS).where(events.c.job_id == job_id, events.c.type == kind)
    row = connection.execute(query.order_by(events.c.position.desc()).limit(1)).first()
    return _event(row) if row else None


def announce_again(connection: Connection, event: Event) -> Event:
    """Put an event back into the outbox under its id."""
    connection.execute(update(events).where(events.c.id == event.id).values(published_at=None, was_routed=None))
    return event


def unpublished(connection: Connection, older_than: timedelta, limit: int) -> Sequence[Event]:
    """List what the broker does not have yet, oldest first, without what somebody is marking just now."""
    query = select(*_COLUMNS).where(events.c.published_at.is_(None), events.c.occurred_at <= now - older_than)
    return [
        _event(row)
        for row in connection.execute(query.order_by(events.c.position).limit(limit).with_for_update(skip_locked=True))
    ]


def mark_published(connection: Connection, event_id: str, *, was_routed: bool) -> None:
    """Note that the broker confirmed an event."""
    connection.execute(update(events).where(events.c.id == event_id).values(published_at=now, was_routed=was_routed))
