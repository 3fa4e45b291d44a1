"""A run that one caller waits for, without a job: started once, and looked at by the plan until it is over."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from worker.errors import (
    HistoryMissing,
    OutputMissing,
    RemoteRateLimited,
    RemoteRequestGone,
    RemoteUnavailable,
    SubmitUnknown,
    TransientError,
    WaitTimeout,
)
from worker.rules.plan import Plan
from worker.rules.retry import next_attempt, window_opens
from worker.rules.run import OVER, Listed, RemoteStatus, RunResult
from worker.vendor.api import Vendor
from worker.vendor.history import as_result

GONE_TRIES = 3
"""In a row, after which a run that nobody here saw started is taken for unknown."""

T = TypeVar("T")


class Patience:
    """How long a caller waits, and what tells him for what."""

    def __init__(self, within: timedelta, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self._ends_at = _now() + within

    @property
    def left(self) -> timedelta:
        """How long is still waited."""
        return max(timedelta(0), self._ends_at - _now())

    def pause(self, delay: timedelta, stage: str) -> None:
        """Say how it stands and wait, at most until the end.

        Raises:
            WaitTimeout: that has come.
        """
        self.tell(stage)
        if not self.left:
            raise WaitTimeout(f"There is no outcome in the time given ({stage}).")
        time.sleep(min(delay, self.left).total_seconds())

    def await_window(self, error: RemoteRateLimited) -> None:
        """Wait until the vendor takes requests again.

        Raises:
            WaitTimeout: that is later than is waited for.
        """
        now = datetime.now(UTC)
        delay = window_opens(error.reset_at, now)
        opens_at = f"{(now + delay).astimezone():%H:%M:%S}"
        if delay > self.left:
            raise WaitTimeout(
                f"The vendor takes no more requests until {opens_at} (429), later than is waited for: call again then."
            )
        self.pause(delay, f"429: waiting until {opens_at}, when the vendor takes requests again")


def _now() -> timedelta:
    """Return a time that counts on while the machine sleeps."""
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))


def start(submit: Callable[[], T], patience: Patience) -> T:
    """Send a submit, and again only after a 429, which starts no run; raises as the submit.

    Raises:
        WaitTimeout: the vendor's window opens too late; no run was started.
        SubmitUnknown: also where a person interrupts it.
    """
    while True:
        try:
            return submit()
        except RemoteRateLimited as error:
            patience.await_window(error)
        except KeyboardInterrupt as interrupt:
            raise SubmitUnknown("The submit was interrupted: a run may have been started.") from interrupt


class Following:
    """One run, looked at until it is over; ``is_resumed``: it was started before, nobody knows when."""

    def __init__(
        self, vendor: Vendor, request_id: str, plan: Plan, patience: Patience, *, is_resumed: bool, asks_history: bool
    ) -> None:
        self._vendor, self._request_id = vendor, request_id
        self._plan, self._patience = plan, patience
        self._is_resumed, self._asks_history = is_resumed, asks_history
        self._began = _now() - (plan.typical if is_resumed else timedelta(0))
        self._looks = self._failed = 0

    def result(self) -> RunResult:
        """Return how the run ended: FAILED, or COMPLETED with the addresses of what it made.

        Raises:
            WaitTimeout: it has not ended in time.
            RemoteRequestGone: it was started before, and neither the vendor nor its history knows it.
            AccountHeld: it can't be looked at.
        """
        if not self._is_resumed:
            self._patience.pause(self._plan.first, "queued")
        while True:
            if found := self._try():
                return found

    def _try(self) -> RunResult | None:
        """Look once; where the run goes on, or nothing can be seen, wait until the next look."""
        self._looks += 1
        try:
            found = self._look()
        except TransientError as error:
            self._missed(error)
            return None
        if found.run.status in OVER:
            return found
        self._failed = 0
        delay = self._plan.next(_now() - self._began, is_queued=found.run.status is RemoteStatus.QUEUED)
        self._patience.pause(delay, f"{found.run.status.lower()}, polls: {self._looks}")
        return None

    def _missed(self, error: TransientError) -> None:
        """Wait for the next try, unless there is nothing that could be seen."""
        if isinstance(error, RemoteRateLimited):
            self._patience.await_window(error)
            return
        self._failed += 1
        if self._is_resumed and isinstance(error, RemoteRequestGone) and self._failed >= GONE_TRIES:
            raise RemoteRequestGone(f"{error} It keeps a run for an hour, and no history that answers shows this one.")
        self._patience.pause(next_attempt(self._failed - 1, random.random()), str(error).rstrip("."))

    def _look(self) -> RunResult:
        """Look at the status, and once it is over at the result; at the history where these do not show it."""
        try:
            run = self._vendor.status(self._request_id)
            if run.status in {RemoteStatus.COMPLETED, RemoteStatus.UNRECOGNISED}:
                return _named(self._vendor.result(self._request_id))
            return RunResult(run, ())
        except (RemoteRequestGone, OutputMissing):
            listed = self._listed()
            if listed and (listed.status is RemoteStatus.FAILED or listed.addresses):
                return as_result(listed)
            raise

    def _listed(self) -> Listed | None:
        """Return what the request history says of the run, if it can be asked."""
        if not self._asks_history:
            return None
        try:
            return self._vendor.listed(self._request_id, wants_all=True)
        except (HistoryMissing, RemoteUnavailable):
            return None


def _named(found: RunResult) -> RunResult:
    """Return a result, if it names an output or does not say that there should be one.

    Raises:
        OutputMissing: the run completed without one.
    """
    if found.run.status is RemoteStatus.COMPLETED and not found.addresses:
        raise OutputMissing("The run completed, but its result names no output.")
    return found
