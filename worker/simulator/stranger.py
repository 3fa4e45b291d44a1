"""Another user of the same key, who starts runs of his own: they are listed, can be read, and are not on the bill."""

import secrets
from datetime import datetime, timedelta

from .extras import PIXEL
from .jobs import Run

MOST_AT_ONCE = 5000
RUN_SECONDS = 5.0


class Stranger:
    """Starts a run every so often, beginning with the time that he is given."""

    def __init__(self, since: datetime) -> None:
        self._last_at = since
        self._count = 0

    def starts_until(self, now: datetime, every_seconds: float) -> list[datetime]:
        """Return when runs were due since the last call, oldest first; after a long leap only the newest."""
        step = timedelta(seconds=every_seconds)
        due = int(max((now - self._last_at) / step, 0))
        self._last_at += step * due
        return [self._last_at - step * back for back in reversed(range(min(due, MOST_AT_ONCE)))]

    def run(self, request_id: str, started_at: datetime, cost: float) -> Run:
        """Return a run of his, with inputs that nobody else has."""
        self._count += 1
        return Run(
            request_id=request_id,
            call="submit",
            inputs={"image": PIXEL, "prompt": f"somebody else's object {self._count}", "seed": self._count},
            inputs_sha256="",
            submitted_at=started_at,
            queue_seconds=0.0,
            run_seconds=RUN_SECONDS,
            cost=cost,
            output_token=secrets.token_urlsafe(24),
            is_foreign=True,
        )
