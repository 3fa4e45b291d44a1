"""Ends a process whose loop has stalled, so that it is started anew; a loop that is busy or waits for work has not."""

import os
import threading
from datetime import timedelta

from worker.log import Log

TICK_SECONDS = 1.0
EXIT_CODE = 70
LOG_SECONDS = 2.0
LONGEST_SILENCE = timedelta(seconds=10)
"""Between two beats of a loop that is not at rest."""

log = Log(__name__)


class Heart:
    """A loop's sign of life. It is watched from its first beat on, until it rests."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ticks_since: int | None = None

    def beat(self) -> None:
        """Say that the loop turns."""
        self._ticks_since = 0

    def rest(self) -> None:
        """Say that the loop has ended or waits on purpose; the next beat wakes it."""
        self._ticks_since = None

    def tick(self) -> None:
        """Count a second without a beat."""
        if self._ticks_since is not None:
            self._ticks_since += 1

    @property
    def is_beating(self) -> bool:
        """Whether the loop turns: it does not rest, and has not been silent for longer than it ever is."""
        return self._ticks_since is not None and self.silent_for < LONGEST_SILENCE

    @property
    def silent_for(self) -> timedelta:
        """How long there was no beat. A time in which nothing of the process ran is not counted."""
        return timedelta(seconds=(self._ticks_since or 0) * TICK_SECONDS)


_hearts: dict[str, Heart] = {}
_limits: list[timedelta] = []


def heart(name: str) -> Heart:
    """Return the heart of that name, at rest if it is new."""
    return _hearts.setdefault(name, Heart(name))


def overdue() -> list[Heart]:
    """Return the hearts that have been silent for too long."""
    return [each for each in list(_hearts.values()) if any(each.silent_for >= limit for limit in _limits)]


def watch(limit: timedelta) -> None:
    """Watch all hearts on a thread of its own; end the process if one is silent for so long."""
    _limits[:] = [limit]
    threading.Thread(target=_watch, name="watchdog", daemon=True).start()


def _watch() -> None:
    pause = threading.Event()
    while not pause.wait(TICK_SECONDS):
        for each in list(_hearts.values()):
            each.tick()
        for stalled in overdue():
            _end(stalled)


def _end(stalled: Heart) -> None:
    """Exit at once: what has stalled would also hold up an orderly end, and perhaps the log."""
    seconds, after = round(stalled.silent_for.total_seconds()), "this process exits, to be started anew"
    told = {"stalled": stalled.name, "silent_seconds": seconds, "next": after}
    teller = threading.Thread(target=log.error, args=("process_stalled",), kwargs=told, daemon=True)
    teller.start()
    teller.join(LOG_SECONDS)
    os._exit(EXIT_CODE)
