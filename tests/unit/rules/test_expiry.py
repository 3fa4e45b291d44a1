"""When a run is given up that the vendor does not know: by whose clock, and how often that has to be seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rules.expiry import LISTED, TOLD, UNTOLD, LastLooks, last_looks, vendors_age
from worker.rules.job import Job
from worker.rules.lifecycle import JobState
from worker.vendor.received import read_date

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job("job", "default", JobState.PROCESSING, 1, {}, {}, 0, 0, 0, "run", NOW, NOW, vendor_submitted_at=NOW)


def aged(ours: timedelta) -> Job:
    """Return a job that is so old by the database's clock."""
    return replace(JOB, observed_at=NOW + ours)


@pytest.mark.parametrize(
    ("ours", "theirs", "looks"),
    [
        (HOUR - SECOND, HOUR - SECOND, None),
        (HOUR, HOUR, TOLD),
        (HOUR - 5 * SECOND, HOUR, TOLD),
        (2 * HOUR, HOUR - SECOND, None),
        (HOUR, None, UNTOLD),
        (HOUR - SECOND, None, None),
        (HOUR, -SECOND, UNTOLD),
        (HOUR / 2, -SECOND, None),
        (HOUR / 2, 20 * HOUR, None),
        (20 * HOUR, HOUR / 2, UNTOLD),
    ],
)
def test_the_vendors_hour_counts_where_it_can_be_believed(
    ours: timedelta, theirs: timedelta | None, looks: LastLooks | None
) -> None:
    """A date that is missing, goes back or is absurd is as if untold: then ours counts, and has to be seen longer."""
    answered_at = None if theirs is None else NOW + theirs
    assert last_looks(aged(ours), answered_at, HOUR) == looks


def test_a_run_that_the_history_has_is_looked_at_longest() -> None:
    """An hour more, and the looks are as far apart as that allows."""
    assert last_looks(aged(HOUR), None, HOUR, is_listed=True) == LISTED
    assert LISTED.count * LISTED.apart >= 1
    assert (UNTOLD.count - 1) * UNTOLD.apart * HOUR > timedelta(minutes=2) > TOLD.apart * HOUR


def test_a_run_whose_submit_had_no_date_is_judged_by_our_clock() -> None:
    """So is one that was adopted: its row's time may be local."""
    assert vendors_age(replace(JOB, vendor_submitted_at=None), NOW) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", NOW),
        ("Thu, 01 Jan 2026 01:00:00 +0100", NOW),
        *((text, None) for text in (None, "", "soon", "Thu, 01 Jan 2026", "9" * 500, "Thu, 99 Jan 2026 00:00:00 GMT")),
        *((text, None) for text in ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 9999 23:59:59 GMT", "2026-01-01")),
    ],
)
def test_when_an_answer_was_given(text: str | None, moment: datetime | None) -> None:
    """As HTTP writes it; whatever else comes is as good as nothing."""
    assert read_date(text) == moment


@given(text=st.text(alphabet=" ,:+-0123456789JanThuGMT\0é²", max_size=60) | st.text(max_size=40))
def test_no_date_costs_a_paid_answer(text: str) -> None:
    """Whatever the header holds, reading it raises nothing."""
    for written in (text, f"Thu, {text}", f"Thu, 01 Jan 2026 00:00:00 {text}"):
        found = read_date(written)
        assert found is None or found.tzinfo is UTC
