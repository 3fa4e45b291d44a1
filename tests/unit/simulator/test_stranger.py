"""Another user of the key starts a run each interval of the simulator's clock."""

from datetime import UTC, datetime, timedelta

from worker.simulator.stranger import MOST_AT_ONCE, Stranger

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_a_run_each_interval() -> None:
    """Runs are due one interval after the other, none twice, none when time is turned back."""
    stranger = Stranger(NOON)
    seconds = [(at - NOON).total_seconds() for at in stranger.starts_until(NOON + timedelta(seconds=10), 3)]
    assert seconds == [3, 6, 9]
    assert stranger.starts_until(NOON, 3) == []
    assert len(stranger.starts_until(NOON + timedelta(seconds=12), 3)) == 1


def test_a_long_leap_brings_only_the_newest() -> None:
    """A leap of a month does not make millions of runs."""
    starts = Stranger(NOON).starts_until(NOON + timedelta(days=30), 1)
    assert len(starts) == MOST_AT_ONCE
    assert starts[-1] == NOON + timedelta(days=30)


def test_runs_differ() -> None:
    """No two of his runs have the same inputs, and all are his."""
    stranger = Stranger(NOON)
    one, other = (stranger.run(str(number), NOON, 0.06) for number in range(2))
    assert one.inputs != other.inputs
    assert one.is_foreign
