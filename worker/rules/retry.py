"""Pure: when to try again, and when a request limit opens. No clock and no randomness of its own."""

from datetime import datetime, timedelta

BROKEN_WINDOW = timedelta(seconds=5)  # Before a message that could not be committed comes again.
SHORTEST_GAP = timedelta(seconds=1)
LONGEST_LOOK_UP = timedelta(seconds=60)
FIRST_RETRY = timedelta(seconds=2)
LONGEST_RETRY = timedelta(seconds=60)
PATIENT_RETRY = timedelta(minutes=10)  # After half an hour of failing.
PATIENT_AFTER = 30  # Attempts.
OUTPUT_LIFETIME = timedelta(days=7)  # The vendor's documentation, on retention.
FIRST_RESUBMIT = timedelta(minutes=1)
LONGEST_RESUBMIT = timedelta(minutes=10)
UNKNOWN_RESET = timedelta(seconds=60)  # The vendor counts requests by the minute.
LONGEST_RESET = timedelta(minutes=10)
JUST_OPENED = timedelta(seconds=-5)  # A reset longer ago is another clock's.


def next_attempt(attempts: int, jitter: float) -> timedelta:
    """Return the delay before a try that follows ``attempts`` failed ones; ``jitter`` is within 0 to 1."""
    longest = LONGEST_RETRY if attempts < PATIENT_AFTER else PATIENT_RETRY
    ceiling = min(longest, FIRST_RETRY * (1 << min(attempts, 10)))
    return ceiling * (0.5 + jitter / 2)


def submit_again(tried: int) -> timedelta:
    """Return the delay before a submit that was answered with a 5xx ``tried`` times is sent again: 1 min, 2, 4 … 10."""
    return min(FIRST_RESUBMIT * (1 << min(tried - 1, 10)), LONGEST_RESUBMIT)


def named_reset(reset_at: datetime | None, now: datetime) -> timedelta | None:
    """Return how long until the time that a 429 names, or None where it names none within reason."""
    wait = reset_at - now if reset_at else None
    return max(wait, SHORTEST_GAP) if wait is not None and JUST_OPENED <= wait <= LONGEST_RESET else None


def window_opens(reset_at: datetime | None, now: datetime) -> timedelta:
    """Return how long to wait after a 429; an absent reset time, or one out of reason, counts as a minute."""
    return named_reset(reset_at, now) or UNKNOWN_RESET


def look_again(age: timedelta, interval: timedelta) -> timedelta:
    """Return when to look for a submit in the history again: soon while it is young, then once a minute."""
    return min(max(interval, age / 2), LONGEST_LOOK_UP)
