"""When to look and when to try again: seldom enough for the vendor, soon enough for the sender."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.schedule import PATIENT_AFTER, first_poll, look_again, next_attempt, next_poll, window_opens

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
TYPICAL = timedelta(seconds=31.7)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

ages = st.timedeltas(timedelta(0), timedelta(hours=2))
expected_runs = st.timedeltas(timedelta(0), timedelta(minutes=30))
attempts = st.integers(0, 10_000)
jitters = st.floats(0, 1)
moments = st.datetimes(timezones=st.just(UTC))


def looks_at(run: timedelta, expected: timedelta = TYPICAL) -> list[timedelta]:
    """Return the ages at which a run of this length is looked at, the last when it is seen to be over."""
    looks = [first_poll(expected)]
    while looks[-1] < run:
        looks.append(looks[-1] + next_poll(looks[-1], expected))
    return looks


@given(expected_runs)
def test_first_poll_comes_before_the_run_is_expected_to_end(expected: timedelta) -> None:
    """It is made shortly before, and never within a second of the submit."""
    assert first_poll(expected) == max(SECOND, expected * 0.8)


@given(ages, expected_runs)
def test_polls_are_one_second_to_one_minute_apart(age: timedelta, expected: timedelta) -> None:
    """The vendor is not hammered, and the sender not forgotten."""
    assert SECOND <= next_poll(age, expected) <= MINUTE


@given(ages, ages, expected_runs)
def test_polls_of_an_older_run_are_further_apart(age: timedelta, more: timedelta, expected: timedelta) -> None:
    """The later a run is, the later it is still likely to be."""
    assert next_poll(age, expected) <= next_poll(age + more, expected)


@given(ages)
def test_polls_never_come_each_second(age: timedelta) -> None:
    """Polls of a typical run are a fifth of it apart at the least: requests are what the vendor counts."""
    assert next_poll(age, TYPICAL) >= 6 * SECOND


@pytest.mark.parametrize(("run", "most"), [(20, 1), (31.7, 2), (38, 3), (60, 6), (600, 20), (3300, 70)])
def test_a_run_costs_few_requests(run: float, most: int) -> None:
    """A typical run is looked at twice, one that never ends some seventy times."""
    assert len(looks_at(timedelta(seconds=run))) <= most


@given(st.timedeltas(timedelta(0), timedelta(minutes=55)))
def test_the_end_of_a_run_is_seen_in_time(run: timedelta) -> None:
    """An end is seen at most a quarter of the run late, or, of a short one, when a typical one would end."""
    assert looks_at(run)[-1] - run <= max(TYPICAL, run / 4)


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
