"""Python runs this before a process of the service that is told to: it reads a wrong clock.

``SHIM_CLOCK_SECONDS`` says by how much.
"""

import datetime as dt
import os
import time
from typing import Any

_real_time, _real_datetime = time.time, dt.datetime
_shift = float(os.environ.get("SHIM_CLOCK_SECONDS", "0"))


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


if _shift:
    _shift_clock()
