"""The simulator's time: the machine's, plus whatever was added to it, so that an hour can pass at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime


class Clock:
    """Tells the time in UTC and can be advanced."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the current time, timezone-aware."""
        return datetime.now(UTC) + self._ahead

    def http_date(self) -> str:
        """Return the current time as an answer's `Date` header says it."""
        return format_datetime(self.now(), usegmt=True)

    def advance(self, step: timedelta) -> None:
        """Let time pass; a negative step turns it back."""
        self._ahead += step

    async def wait(self, seconds: float) -> None:
        """Wait on this clock, not on the machine's: an advance shortens it. `inf` waits for ever."""
        started_at = self.now()
        while (left := seconds - (self.now() - started_at).total_seconds()) > 0:  # noqa: ASYNC110 - time itself is awaited
            await asyncio.sleep(min(left, 0.1))
