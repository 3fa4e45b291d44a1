"""The pages of one look: what was read counts though a page fails, and local time does not end a look too early."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.errors import HistoryMissing, RemoteUnavailable
from worker.rules.habits import AS_LISTED, Clock, Clocks
from worker.vendor.paging import MAX_UNREAD_PAGES, MOST_KNOWN_PAGES, MOST_ROWS, Reading

FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AWAY = RemoteUnavailable("away")


def row(request_id: str, at: datetime = FIRST, **fields: Any) -> dict[str, Any]:
    """Return a row of the history."""
    return {"request_id": request_id, "model_created": at.isoformat(), "request_body": {}, **fields}


def reading(clocks: Clocks = AS_LISTED) -> Reading:
    """Begin a look, given what is learnt of the vendor's clock."""
    return Reading(FIRST, FIRST, lambda _: clocks)


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


@pytest.mark.parametrize(("given", "tens", "ones"), [(100, 21, 201), (25, 6, 51)])
def test_pages_of_another_size_go_on_where_the_last_was(given: int, tens: int, ones: int) -> None:
    """What was read on larger pages is not read again, nor passed over where the vendor gives fewer rows than asked."""
    look = reading()
    for number in range(2):
        look.take([row(f"run{number}-{each}", FIRST + MINUTE) for each in range(given)])
    assert look.make_smaller()
    assert (look.size, look.number) == (10, tens)
    assert look.make_smaller()
    assert (look.size, look.number) == (1, ones)
    assert not look.make_smaller()


def test_a_turn_that_brings_nothing_new_ends_a_look() -> None:
    """Some pages may be of what was read before; a history that shows them for ever does not turn its pages."""
    look = reading()
    known = [row("run", FIRST + MINUTE)]
    look.take(known)
    look.begin_turn(FIRST)
    for _ in range(MOST_KNOWN_PAGES):
        look.take(known)
        assert not look.is_over
    look.take(known)
    assert (look.is_over, look.look().is_complete) == (True, False)


def test_an_empty_page_after_a_full_one_is_asked_for_again() -> None:
    """It would end the look, as whole, before the rows of the time that is asked for."""
    look = reading()
    look.take([row(f"run{each}", FIRST + MINUTE) for each in range(look.size)])
    look.take([])
    assert (look.is_over, look.number) == (False, 2)
    look.take([row("old", FIRST + MINUTE)])
    look.take([])
    assert (len(look.look().requests), look.look().is_complete) == (look.size + 1, True)
    exact = reading()
    exact.take([row(f"run{each}", FIRST + MINUTE) for each in range(exact.size)])
    exact.take([])
    exact.take([])
    assert exact.look().is_complete


def test_a_small_page_may_show_what_was_read() -> None:
    """One new row is enough to move a single row to the next page of one row."""
    look = reading()
    assert look.make_smaller()
    assert look.make_smaller()
    look.take([row("run1", FIRST + MINUTE)])
    look.take([row("run1", FIRST + MINUTE)])
    look.take([row("run2", FIRST + MINUTE)])
    look.take([])
    look.take([])
    assert (set(look.look().requests), look.look().is_complete) == ({"run1", "run2"}, True)


def test_a_look_that_is_asked_to_reach_further_back_does() -> None:
    """Another doubt, of an earlier time, may come to be looked at while it goes on."""
    look = reading()
    look.begin_turn(FIRST - 10 * MINUTE)
    look.take([row("run", FIRST - 5 * MINUTE)])
    assert not look.is_over
    look.take([row("old", FIRST - 15 * MINUTE)])
    assert (look.is_over, look.look().is_complete) == (True, True)


def test_a_history_without_an_end_proves_nothing() -> None:
    """It is not read for ever."""
    look = reading()
    for number in range(MOST_ROWS // look.size):
        assert not look.is_over
        look.take([row(f"run{number}", FIRST + MINUTE)])
    assert (look.is_over, look.look().is_complete) == (True, False)
