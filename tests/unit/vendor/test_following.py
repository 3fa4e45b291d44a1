"""What a caller waits for, and for how long."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.errors import NotSent, RemoteRateLimited, SubmitUnknown, WaitTimeout
from worker.vendor.following import Patience, start

AT_ONCE = timedelta(0)


def patience(seconds: float = 60) -> tuple[Patience, list[str]]:
    """Return a patience, and what is told of it."""
    told: list[str] = []
    return Patience(timedelta(seconds=seconds), told.append), told


def test_the_end_is_not_waited_past() -> None:
    """Somebody asked for no more."""
    waiting, told = patience(0)
    with pytest.raises(WaitTimeout, match=r"no outcome in the time given \(queued\)"):
        waiting.pause(timedelta(hours=1), "queued")
    assert told == ["queued"]


def test_a_submit_is_sent_once() -> None:
    """Whatever became of it, but for a 429."""
    for error in (NotSent("x"), SubmitUnknown("x")):
        sent: list[int] = []

        def submit(error: Exception = error, sent: list[int] = sent) -> None:
            sent.append(1)
            raise error

        with pytest.raises(type(error)):
            start(submit, patience()[0])
        assert sent == [1]


def test_a_submit_that_a_person_interrupts_may_have_started_a_run() -> None:
    """It is told apart from one that got a bad answer."""

    def submit() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SubmitUnknown) as unknown:
        start(submit, patience()[0])
    assert isinstance(unknown.value.__cause__, KeyboardInterrupt)


@pytest.mark.parametrize("reset_at", [None, datetime.now(UTC) + timedelta(minutes=2)])
def test_a_window_that_opens_too_late_is_not_waited_for(reset_at: datetime | None) -> None:
    """When it opens is said; without a word of the vendor's that is in a minute."""
    with pytest.raises(WaitTimeout, match=r"until \d\d:\d\d:\d\d \(429\)"):
        patience(30)[0].await_window(RemoteRateLimited("x", reset_at))
