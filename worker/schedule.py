"""Pure: when to look next, when to try again. No clock and no randomness of its own."""

from datetime import datetime, timedelta

NOW = timedelta(0)
BROKEN_WINDOW = timedelta(seconds=5)  # Before a message that could not be committed comes again.
FIRST_LOOK = 0.8  # Of the expected run: nine in ten runs are not over by then.
LATE_LOOK = 0.25  # Of the run's age: a run that is late is likely to be later still.
SHORTEST_GAP = timedelta(seconds=1)
LONGEST_GAP = timedelta(seconds=60)
FIRST_RETRY = timedelta(seconds=2)
LONGEST_RETRY = timedelta(seconds=60)
PATIENT_RETRY = timedelta(minutes=10)  # After half an hour of failing.
PATIENT_AFTER = 30  # Attempts.
OUTPUT_LIFETIME = timedelta(days=7)  # The vendor's documentation, on retention.
UNKNOWN_RESET = timedelta(seconds=60)  # The vendor counts requests by the minute.
LONGEST_RESET = timedelta(minutes=10)
JUST_OPENED = timedelta(seconds=-5)  # A reset longer ago is another clock's.


def first_poll(expected_run: timedelta) -> timedelta:
    """Return how long after the submit the first poll is made."""
    return max(SHORTEST_GAP, expected_run * FIRST_LOOK)


def next_poll(age: timedelta, expected_run: timedelta) -> timedelta:
    """Return the delay until the next poll of a run of this ``age`` that has not ended.

    A fifth of the expected run while the run is due about now, a quarter of its age once it is late.
    """
    gap = max(expected_run * (1 - FIRST_LOOK), age * LATE_LOOK if age > expected_run else timedelta(0))
    return min(max(gap, SHORTEST_GAP), LONGEST_GAP)


def next_attempt(attempts: int, jitter: float) -> timedelta:
    """Return the delay before a try that follows ``attempts`` failed ones; ``jitter`` is within 0 to 1."""
    longest = LONGEST_RETRY if attempts < PATIENT_AFTER else PATIENT_RETRY
    ceiling = min(longest, FIRST_RETRY * (1 << min(attempts, 10)))
    return ceiling * (0.5 + jitter / 2)


def window_opens(reset_at: datetime | None, now: datetime) -> timedelta:
    """Return how long to wait after a 429; an absent reset time, or one out of reason, counts as a minute."""
    wait = (reset_at - now) if reset_at else UNKNOWN_RESET
    return max(wait, SHORTEST_GAP) if JUST_OPENED <= wait <= LONGEST_RESET else UNKNOWN_RESET


def look_again(age: timedelta, interval: timedelta) -> timedelta:
    """Return when to look for a submit in the history again: soon while it is young, then once a minute."""
    return min(max(interval, age / 2), LONGEST_GAP)
