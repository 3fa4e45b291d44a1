"""The outbox: what should be out and is not is found, though no index has what waits only for a moment."""

from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import ColumnElement, literal, select, text

from tests.support.clock import Clock
from worker.app import App
from worker.database import outbox, put_off
from worker.database.engine import single, transaction
from worker.database.outbox import Event, Walk
from worker.database.records import events
from worker.database.tables import TIME
from worker.rules.lifecycle import EventType

GRACE = timedelta(seconds=5)
HOUR = timedelta(hours=1)


def _add(app: App) -> Event:
    with transaction(app.services.engine) as connection:
        return outbox.add(connection, EventType.ACCOUNT_RESUMED, None, {})


def _publish(app: App, event: Event) -> None:
    with transaction(app.services.engine) as connection:
        outbox.mark_published(connection, {event.id: True})


def _left(app: App) -> list[str]:
    """Look as the relay does, and return what it would send."""
    walk: Walk | None = Walk()
    while walk:
        with transaction(app.services.engine) as connection:
            walk = outbox.leave(connection, GRACE, walk)
    with transaction(app.services.engine) as connection:
        return [event.id for event in outbox.unpublished(connection, 10)]


def _execute(app: App, statement: str) -> object:
    with transaction(app.services.engine) as connection:
        done = connection.execute(text(statement))
        return done.scalar() if done.returns_rows else None


_MARKED = "SELECT count(*) FROM events WHERE left_at IS NOT NULL"


def test_what_waits_is_left_once_it_is_old_enough(app: App, clock: Clock) -> None:
    """A fresh one is its worker's still; once it is out it is left no more."""
    event = _add(app)
    assert _left(app) == []
    clock.advance(2 * GRACE)
    assert _left(app) == [event.id]
    _publish(app, event)
    assert (_left(app), _execute(app, _MARKED)) == ([], 0)


def test_what_its_worker_sent_is_never_left(app: App, clock: Clock) -> None:
    """It waits for a moment only, and no index hears of it."""
    _publish(app, _add(app))
    clock.advance(2 * GRACE)
    assert (_left(app), _execute(app, _MARKED)) == ([], 0)


def test_events_of_a_batch_are_marked_together(app: App, clock: Clock) -> None:
    """Each with whether anybody heard it; an event beside them is as it was."""
    heard, unheard, other = (_add(app) for _ in range(3))
    with single(app.services.engine) as connection:
        outbox.mark_published(connection, {unheard.id: False, heard.id: True})
    said = "SELECT string_agg(was_routed::text, ',' ORDER BY position) FROM events WHERE published_at IS NOT NULL"
    assert _execute(app, said) == "true,false"
    clock.advance(2 * GRACE)
    assert _left(app) == [other.id]


def test_whoever_marks_events_is_not_waited_for(app: App, clock: Clock) -> None:
    """Two that lock several rows would wait for one another; what is not marked after all is seen the next time."""
    marked, given_up = _add(app), _add(app)
    clock.advance(2 * GRACE)
    with transaction(app.services.engine) as connection:
        outbox.mark_published(connection, {marked.id: True})
        with app.services.engine.connect() as other:
            outbox.mark_published(other, {given_up.id: True})
            assert _left(app) == []
            other.rollback()
    assert _left(app) == [given_up.id]


def test_what_somebody_was_marking_when_he_died_is_seen_whatever_its_age(app: App, clock: Clock) -> None:
    """The outbox begins no later as long as it passes somebody's events over, in whatever hour they are."""
    clock.advance(-4 * HOUR)
    old = _add(app)
    _execute(app, "UPDATE outbox SET begins_at = sam3d_now()")
    clock.advance(4 * HOUR - 2 * GRACE)
    late = _add(app)
    clock.advance(2 * GRACE)  # It is now, when who marks has begun.
    with app.services.engine.connect() as other:
        outbox.mark_published(other, {old.id: True})
        assert _left(app) == [late.id]
        other.rollback()
    assert _left(app) == [old.id, late.id]


def test_what_waits_again_is_left_whatever_its_age(app: App, clock: Clock) -> None:
    """The outbox begins long after it by then."""
    event = _add(app)
    _publish(app, event)
    clock.advance(5 * HOUR)
    assert _left(app) == []
    _execute(app, "UPDATE events SET published_at = NULL")
    assert _left(app) == [event.id]


def test_what_is_committed_late_is_seen(app: App, clock: Clock) -> None:
    """The outbox begins some minutes ago, however often it is looked at meanwhile."""
    clock.advance(HOUR)
    with transaction(app.services.engine) as connection:
        event = outbox.add(connection, EventType.ACCOUNT_RESUMED, None, {})
        for _ in range(5):
            clock.advance(timedelta(minutes=1))
            assert _left(app) == []
    assert _left(app) == [event.id]


def test_what_is_committed_after_hours_is_seen(app: App, clock: Clock) -> None:
    """Its session, or the whole server, was frozen in between."""
    with transaction(app.services.engine) as connection:
        event = outbox.add(connection, EventType.ACCOUNT_RESUMED, None, {})
        for _ in range(3):
            clock.advance(HOUR)
            assert _left(app) == []
    assert _left(app) == [event.id]


def test_what_waits_for_hours_is_found(app: App, clock: Clock) -> None:
    """Nobody looked for a day; an hour is looked at at once."""
    event = _add(app)
    clock.advance(26 * HOUR)
    assert _left(app) == [event.id]


def test_a_clock_that_is_set_back_hides_nothing(app: App, clock: Clock) -> None:
    """The outbox begins in the future then."""
    clock.advance(26 * HOUR)
    assert _left(app) == []
    clock.advance(-3 * HOUR)
    event = _add(app)
    clock.advance(2 * GRACE)
    assert _left(app) == [event.id]
    assert _execute(app, "SELECT begins_at < sam3d_now() FROM outbox") is True


def test_an_event_of_a_clock_that_was_ahead_is_found(app: App, clock: Clock) -> None:
    """Its time is brought back with the clock; its id, which tells the time ahead, stays."""
    clock.advance(3 * HOUR)
    event = _add(app)
    clock.advance(-3 * HOUR)
    with transaction(app.services.engine) as connection:
        put_off.move_records(connection, 3 * HOUR)
    clock.advance(2 * GRACE)
    assert _left(app) == [event.id]
    _publish(app, event)
    assert _left(app) == []


def test_an_event_is_found_by_the_time_in_its_id(app: App) -> None:
    """Those that go out in their order lie together; what has another id, as of the last release, has an index."""
    with transaction(app.services.engine) as connection:
        made = [outbox.add(connection, EventType.ACCOUNT_RESUMED, None, {}) for _ in range(2)]
        old = {"id": str(uuid4()), "kind": EventType.ACCOUNT_RESUMED}
        connection.execute(text("INSERT INTO events (id, type, payload) VALUES (:id, :kind, '{}')"), old)
        at = max(each.occurred_at for each in made)
        found = [
            set(connection.execute(select(events.c.id).where(outbox.is_of(*map(_time, between)))).scalars())
            for between in ((at - HOUR, at + HOUR), (at + HOUR, at + 2 * HOUR), (at - 2 * HOUR, at - HOUR))
        ]
    assert found == [{*(each.id for each in made), old["id"]}, set(), set()]
    assert all(each.id[14] == "7" for each in made)


def _time(at: datetime) -> ColumnElement[datetime]:
    return literal(at, TIME)
