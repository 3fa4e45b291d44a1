"""When to try again: later each time, spread, and not before a closed window opens."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rules.retry import PATIENT_AFTER, look_again, next_attempt, window_opens

SECOND = timedelta(seconds=1)

MINUTE = timedelta(minutes=1)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

ages = st.timedeltas(timedelta(0), timedelta(hours=2))

attempts = st.integers(0, 10_000)

jitters = st.floats(0, 1)

moments = st.datetimes(timezones=st.just(UTC))


@given(attempts, jitters)
def test_another_try_is_one_second_to_one_minute_away(tried: int, jitter: float) -> None:
    """For the first half hour; then at most ten minutes: what fails for hours is not mended by asking."""
    assert SECOND <= next_attempt(tried, jitter) <= (MINUTE if tried < PATIENT_AFTER else 10 * MINUTE)


def test_tries_turn_patient_after_half_an_hour() -> None:
    """Not before: most outages are over by then."""
    waits = [next_attempt(tried, 1) for tried in range(PATIENT_AFTER + 1)]
    assert timedelta(minutes=25) <= sum(waits[:-1], timedelta(0)) <= timedelta(minutes=30)
    assert waits[-1] == 10 * MINUTE


@given(attempts, jitters, jitters)
def test_tries_get_rarer_and_jitter_spreads_them(tried: int, one: float, other: float) -> None:
    """More failures wait longer; more jitter waits longer, at most twice as long."""
    low, high = sorted((one, other))
    assert next_attempt(tried, low) <= next_attempt(tried, high) <= 2 * next_attempt(tried, low)
    assert next_attempt(tried, low) <= next_attempt(tried + 1, low)


def test_first_tries_double() -> None:
    """The ceilings are 2, 4, 8, 16, 32 and then 60 s."""
    assert [next_attempt(tried, 1).total_seconds() for tried in range(7)] == [2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        pytest.param(None, 60, id="absent"),
        pytest.param(timedelta(seconds=20), 20, id="soon"),
        pytest.param(timedelta(minutes=10), 600, id="at the limit"),
        pytest.param(timedelta(minutes=10, seconds=1), 60, id="far"),
        pytest.param(timedelta(days=900), 60, id="years ahead"),
        pytest.param(timedelta(0), 1, id="now"),
        pytest.param(timedelta(milliseconds=1), 1, id="at once"),
        pytest.param(timedelta(seconds=-5), 1, id="just over"),
        pytest.param(timedelta(days=-9000), 60, id="nonsense, long ago"),
    ],
)
def test_a_closed_window_is_waited_out(reset: timedelta | None, seconds: float) -> None:
    """A job waits for the reset that the vendor named, or a minute if it named none in reason."""
    reset_at = None if reset is None else NOW + reset
    assert window_opens(reset_at, NOW) == timedelta(seconds=seconds)


@given(st.none() | moments, moments)
def test_a_closed_window_is_never_waited_for_in_vain(reset_at: datetime | None, now: datetime) -> None:
    """Whatever the vendor names, the wait is within a second and ten minutes."""
    assert SECOND <= window_opens(reset_at, now) <= 10 * MINUTE


@given(ages, st.timedeltas(timedelta(0), 2 * MINUTE))
def test_a_submit_in_doubt_is_looked_up_again_within_a_minute(age: timedelta, interval: timedelta) -> None:
    """Not sooner than the scheduler comes by, and later the older it is."""
    again = look_again(age, interval)
    assert min(interval, MINUTE) <= again <= MINUTE
    assert again <= look_again(age + SECOND, interval)


def test_looks_at_a_submit_in_doubt_are_few() -> None:
    """In the five minutes until a person is asked, some ten pages of the history are read."""
    age, looks = timedelta(0), 0
    while age < 5 * MINUTE:
        age, looks = age + look_again(age, 15 * SECOND), looks + 1
    assert looks <= 10
