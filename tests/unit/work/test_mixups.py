"""Who keeps a run that two submits were answered with: who certainly had it first."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.database.ownership import Holder
from worker.rules.lifecycle import Verdict
from worker.work.mixups import keeps

AT = datetime(2026, 1, 1, tzinfo=UTC)


def _second(number: float) -> datetime:
    return AT + timedelta(seconds=number)


@pytest.mark.parametrize(
    ("verdict", "answered", "now", "is_alike", "does"),
    [
        (Verdict.ACCEPTED, 2, 9, False, True),
        (Verdict.ACCEPTED, 5, 9, False, False),
        (Verdict.ACCEPTED, 3, 9, False, False),
        (Verdict.ACCEPTED, None, 9, False, False),
        (Verdict.ACCEPTED, 2, 2.5, False, False),
        (Verdict.ACCEPTED, 0, 9, False, False),
        (Verdict.ACCEPTED, 5, 9, True, True),
        (Verdict.ADOPTED, 5, 9, False, True),
    ],
    ids=["before", "at once", "the same moment", "unknown", "set back", "set back before", "the same", "adopted"],
)
def test_who_keeps_a_run(verdict: Verdict, answered: float | None, now: float, *, is_alike: bool, does: bool) -> None:
    """A submit that was made at 1 keeps its run from one that was made at 3 if it was answered in between."""
    answered_at = None if answered is None else _second(answered)
    assert keeps(Holder("job", verdict, _second(1), answered_at, _second(now), is_alike), _second(3)) is does
