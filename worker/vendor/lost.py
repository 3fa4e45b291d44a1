"""Which runs of the request history a submit may have started whose answer was lost; a person chooses."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from worker.rules.habits import CLOCKS_DIFFER, FURTHEST_ZONE
from worker.rules.run import Inputs, Listed
from worker.vendor.api import Vendor
from worker.vendor.history import mark_inputs

MOST_SHOWN = 3

_ELSEWHERE = ("image", "mask")
"""What a row may lack, or show at another address than it was sent."""


def runs_like(vendor: Vendor, parameters: Mapping[str, Any], since: datetime, now: datetime) -> Sequence[Listed]:
    """Return the newest runs that were started since a time and show nothing else than these parameters.

    Raises:
        HistoryMissing, RemoteUnavailable: the history can't be asked.
    """
    sent = mark_inputs(parameters)
    rows = sorted(vendor.newest(now).values(), key=lambda row: row.created_at, reverse=True)
    return [row for row in rows if _is_of_time(row, since) and may_show(row.inputs, sent)][:MOST_SHOWN]


def _is_of_time(row: Listed, since: datetime) -> bool:
    return row.created_at >= since - (CLOCKS_DIFFER if row.has_zone else FURTHEST_ZONE)


def may_show(shown: Inputs | None, sent: Inputs) -> bool:
    """Tell whether a row may be of what was sent: it shows nothing else, whatever it does with pictures."""
    if shown is None:
        return True
    return all(shown.get(name) == sent.get(name) for name in (shown.keys() | sent.keys()).difference(_ELSEWHERE))
