"""The pages of one look: what was read counts though a page fails, and local time does not end a look too early."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.errors import HistoryMissing, RemoteUnavailable
from worker.habits import AS_LISTED, Clock, Clocks
from worker.paging import MAX_UNREAD_PAGES, Reading

FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AWAY = RemoteUnavailable("away")


def row(request_id: str, at: datetime = FIRST, **fields: Any) -> dict[str, Any]:
    """Return a row of the history."""
    return {"request_id": request_id, "model_created": at.isoformat(), "request_body": {}, **fields}


def reading(clocks: Clocks = AS_LISTED) -> Reading:
    """Begin a look, given what is learnt of the vendor's clock."""
    return Reading(FIRST, lambda _: clocks)


def test_a_page_that_is_left_out_makes_a_look_incomplete() -> None:
    """What is on the pages before and after it counts."""
    look = reading()
    look.take([row("run1")])
    look.leave_out(AWAY)
    look.take([row("run2")])
    look.take([])
    assert look.is_over
    assert (set(look.look().requests), look.look().is_complete) == ({"run1", "run2"}, False)


def test_a_history_that_is_away_is_not_read_for_ever() -> None:
    """After some pages a look gives up; where nothing was read it raises what went wrong."""
    look = reading()
    for _ in range(MAX_UNREAD_PAGES):
        assert not look.is_over
        look.leave_out(AWAY)
    assert look.is_over
    with pytest.raises(RemoteUnavailable):
        look.look()


def test_no_history_ends_a_look_at_once() -> None:
    """A page of another form leaves what was read, and proves nothing."""
    look = reading()
    look.take([row("run1")])
    with pytest.raises(HistoryMissing):
        look.take([{"other": "form"}])
    look.leave_out(HistoryMissing("other"))
    assert look.is_over
    assert (set(look.look().requests), look.look().is_complete) == ({"run1"}, False)


UNKNOWN: Clocks = {}
BEHIND = {True: Clock(-8 * 60 * MINUTE, MINUTE)}
ENDS: list[tuple[Clocks, timedelta, bool]] = [
    (AS_LISTED, -5 * MINUTE, True),
    (AS_LISTED, -MINUTE, False),
    (BEHIND, -5 * MINUTE, False),
    (BEHIND, -8 * 60 * MINUTE - 5 * MINUTE, True),
    (UNKNOWN, -8 * 60 * MINUTE, False),
    (UNKNOWN, -15 * 60 * MINUTE, True),
]


@pytest.mark.parametrize(("clocks", "age", "is_over"), ENDS)
def test_a_look_ends_where_rows_are_too_old_by_our_clock(
    clocks: Mapping[bool, Clock], age: timedelta, *, is_over: bool
) -> None:
    """Rows of a zone that is behind ours look old; while nobody knows the zone all that may be of the time is read."""
    look = reading(clocks)
    look.take([row("run1", FIRST + age)])
    assert (look.is_over, look.look().is_complete) == (is_over, is_over)


def test_pages_of_another_size_keep_what_was_read() -> None:
    """And read the same rows again without taking them for a page that does not turn."""
    look = reading()
    look.take([row("run1"), row("run2")])
    again = look.again()
    again.take([row("run1")])
    assert not again.is_over
    again.take([])
    assert (set(again.look().requests), again.look().is_complete) == ({"run1", "run2"}, True)
