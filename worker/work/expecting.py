"""What makes the sweep come sooner: who had taken a job is gone, or the broker has lost the messages.

Who is gone is told by the lock of its session, not by the end of its lease.
"""

import time
from collections.abc import Callable
from datetime import timedelta

from worker.database import leases
from worker.database.engine import Engine, transaction
from worker.database.locks import live_sessions
from worker.log import Log

GONE_FOR = timedelta(seconds=10)
"""How long a session has to be missing: one that lives takes its lock again soon after the database was away."""

SOON = timedelta(seconds=5)
"""How late a message may be where there is doubt that there is one."""

BATCH = 500

log = Log(__name__)


class Leases:
    """Remembers since when the sessions are missing that have taken jobs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._missing_since: dict[int, float] = {}

    def free(self, lessees: frozenset[int]) -> int:
        """Free the jobs that the dead of these were reading, and return how many there were.

        Safe to do to one that lives: its answer is fenced off.
        """
        now = time.monotonic()
        with transaction(self._engine) as connection:
            missing = lessees - live_sessions(connection)
            self._missing_since = {each: self._missing_since.get(each, now) for each in missing}
            gone = [each for each, since in self._missing_since.items() if now - since >= GONE_FOR.total_seconds()]
            freed = leases.free(connection, gone) if gone else 0
        if freed:
            log.warning("leases_freed", count=freed, sessions=len(gone), next="the sweep sends their messages")
        return freed


def expect_all(engine: Engine, beat: Callable[[], None] = lambda: None) -> None:
    """Have the sweep come for every run soon after it is due: nobody knows which messages there are."""
    expected = BATCH
    while expected == BATCH:
        beat()
        with transaction(engine) as connection:
            expected = leases.expect_all(connection, SOON, BATCH)
