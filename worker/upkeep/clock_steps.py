"""Notices that the database's clock has stepped, and brings what a step back had put off back with it.

What was waited for is due early after a step ahead, and what a worker is at is looked at twice at the most. Only what
becomes of a submit in doubt must not come early: :attr:`ClockWatch.ahead` is for that.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from worker.config.environment import Settings
from worker.database import clocks, put_off
from worker.database.engine import Engine, transaction
from worker.log import Log
from worker.rules.habits import LONGEST_SETTLE
from worker.rules.lifecycle import Step
from worker.rules.retry import LONGEST_RESET, PATIENT_RETRY

SMALLEST_STEP = timedelta(seconds=5)
"""Less than that is the time that asking takes, or a clock that is brought in line gently."""

BATCH = 500
FIRST = "00000000-0000-0000-0000-000000000000"

log = Log(__name__)


class ClockWatch:
    """Compares the database's clock with one that never steps."""

    def __init__(self, engine: Engine, settings: Settings, steady: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._steady = steady
        self._furthest = furthest(settings)
        self._seen: tuple[datetime, float] | None = None
        self._owed = timedelta(0)
        self._ahead, self._ahead_until = timedelta(0), 0.0

    @property
    def ahead(self) -> timedelta:
        """How far the clock has stepped ahead, as long as something may seem older than it is for that."""
        return self._ahead if self._steady() < self._ahead_until else timedelta(0)

    def check(self, beat: Callable[[], None]) -> bool:
        """Bring rows back that a step of the clock has put off; return whether there was one.

        Safe to run twice because nothing is brought back further than to now.
        """
        back = self._stepped_back_by()
        self._keep_ahead(back)
        self._owed = max(self._owed, timedelta(0)) + back
        is_step = self._owed >= SMALLEST_STEP
        if is_step:
            self._move(self._owed, beat)
        self._owed = timedelta(0)
        return is_step

    def _stepped_back_by(self) -> timedelta:
        before = self._steady()
        with transaction(self._engine) as connection:
            seen = clocks.read(connection), before
        last, self._seen = self._seen or seen, seen
        return timedelta(seconds=seen[1] - last[1]) - (seen[0] - last[0])

    def _keep_ahead(self, back: timedelta) -> None:
        if abs(back) < SMALLEST_STEP:
            return
        self._ahead = max(self.ahead - back, timedelta(0))
        self._ahead_until = self._steady() + LONGEST_SETTLE.total_seconds()
        if self._ahead:
            log.warning(
                "clock_stepped_ahead", seconds=round(self._ahead.total_seconds()), next="submits in doubt wait as long"
            )

    def _move(self, by: timedelta, beat: Callable[[], None]) -> None:
        seconds = round(by.total_seconds())
        log.warning("clock_stepped_back", seconds=seconds, next="what it had put off is brought back as far")
        with transaction(self._engine) as connection:
            put_off.move_accounts(connection, by)
        last: str | None = FIRST
        while last:
            beat()
            with transaction(self._engine) as connection:
                last = put_off.move_jobs(connection, by, last, BATCH)
        with transaction(self._engine) as connection:
            put_off.move_records(connection, by)

    def bring_back(self, runs: Sequence[str], beat: Callable[[], None]) -> bool:
        """Bring back what a clock put off that had stepped before this process began to watch it.

        Of what is under way that may be these ``runs``; return whether there was anything.
        """
        total, found = 0, BATCH
        while found == BATCH:
            beat()
            with transaction(self._engine) as connection:
                found = put_off.bring_back(connection, self._furthest, runs, BATCH)
            total += found
        if total:
            log.warning("jobs_brought_back", count=total, next="they are due now: nothing is put off for so long")
        return total > 0


def furthest(settings: Settings) -> timedelta:
    """Return how far ahead anything of a job can lie: its longest wait, the grace for its message, a lease."""
    longest = max(LONGEST_RESET, PATIENT_RETRY, settings.run.lease_for(*Step))
    return longest + settings.upkeep.sweep_grace + settings.upkeep.sweep_interval
