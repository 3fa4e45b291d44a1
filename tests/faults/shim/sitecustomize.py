"""Python runs this before a process of the service, if it is told to: a wrong clock, or less patience.

``SHIM_CLOCK_SECONDS`` shifts the clock that the process reads; ``SHIM_PATIENCE_SECONDS`` replaces the limits after
which it gives an answer of the broker or of the database up, so that tests need not wait for the real ones.
"""

import datetime as dt
import os
import time
from typing import Any

_real_time, _real_datetime = time.time, dt.datetime
_shift = float(os.environ.get("SHIM_CLOCK_SECONDS", "0"))
_patience = int(os.environ.get("SHIM_PATIENCE_SECONDS", "0"))


class _SameClass(type):
    """Lets every real datetime count as one of the shifted class, which replaces it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real_datetime)


class _ShiftedDatetime(dt.datetime, metaclass=_SameClass):
    """A datetime whose idea of now is wrong."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        """Return the wrong time."""
        return _real_datetime.now(tz) + dt.timedelta(seconds=_shift)


def _shift_clock() -> None:
    time.time = lambda: _real_time() + _shift
    dt.datetime = _ShiftedDatetime  # type: ignore[misc]


def _lose_patience() -> None:
    from worker import database, topology

    database.ANSWER_SECONDS = database.CONNECT_SECONDS = _patience
    topology.CONFIRMED["confirm_timeout"] = float(_patience)
    topology.CONNECTION.update(connect_timeout=_patience, read_timeout=_patience, write_timeout=_patience)


if _patience:
    _lose_patience()
if _shift:
    _shift_clock()
