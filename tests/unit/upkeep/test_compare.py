"""What follows from a look at the history after a database was started anew."""

from datetime import timedelta

import pytest

from worker.upkeep.compare import Next, Reach, conclude

SECOND = timedelta(seconds=1)

SOON, LATE = 10 * SECOND, 400 * SECOND


@pytest.mark.parametrize(
    ("reach", "waited", "is_missing", "expected"),
    [
        (Reach.WHOLE, SOON, False, Next.SETTLE),
        (Reach.WHOLE, SOON, True, Next.WAIT),
        (Reach.WHOLE, LATE, True, Next.SETTLE),
        (Reach.PART, SOON, False, Next.WAIT),
        (Reach.PART, LATE, False, Next.GO_ON),
        (Reach.PART, LATE, True, Next.WAIT),
        (Reach.NONE, SOON, False, Next.GO_ON),
        (Reach.NONE, LATE, True, Next.ASK),
    ],
)
def test_what_follows(reach: Reach, waited: timedelta, expected: Next, *, is_missing: bool) -> None:
    """Nothing is paid while something is missing and not all was read; no sign of a loss: nothing stops for long."""
    assert conclude(reach, waited, 30 * SECOND, 300 * SECOND, is_missing=is_missing) is expected
