"""A loop that stands still ends its process; one that is busy, waits, or was frozen with the process does not."""

from datetime import timedelta

import pytest

from worker.telemetry import watchdog

LIMIT = timedelta(seconds=3)


@pytest.fixture(autouse=True)
def _hearts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watch nothing but what the test makes, with a limit, and without a thread."""
    monkeypatch.setattr(watchdog, "_hearts", {})
    monkeypatch.setattr(watchdog, "_limits", [LIMIT])


def overdue_after(heart: watchdog.Heart, ticks: int) -> list[str]:
    """Let so many seconds of the watchdog go by."""
    for _ in range(ticks):
        heart.tick()
    return [each.name for each in watchdog.overdue()]


def test_a_silent_heart_is_overdue() -> None:
    """It is named once it was silent for the limit, and no longer after a beat."""
    heart = watchdog.heart("inbox")
    heart.beat()
    assert overdue_after(heart, 2) == []
    assert overdue_after(heart, 1) == ["inbox"]
    heart.beat()
    assert overdue_after(heart, 0) == []


@pytest.mark.parametrize("has_beaten", [True, False])
def test_a_resting_heart_is_never_overdue(*, has_beaten: bool) -> None:
    """A loop that has not begun, has ended, or waits for the broker is not expected to turn."""
    heart = watchdog.heart("consumer")
    if has_beaten:
        heart.beat()
    heart.rest()
    assert overdue_after(heart, 1000) == []


def test_a_heart_is_found_by_its_name() -> None:
    """Whoever takes a loop up again, after a reconnect, goes on with the same heart."""
    assert watchdog.heart("consumer") is watchdog.heart("consumer")
