"""Pure: when a run is given up that the vendor does not know: after its hour there, and not at the first 404.

Whose hour it is matters: the vendor's clock tells where its answers have a date, and no clock is believed alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.rules.job import Job

BELIEVED = timedelta(hours=6)
"""The vendor's dates are not believed where they make a run so much older or younger than the database's clock does."""


@dataclass(frozen=True)
class LastLooks:
    """How often nothing has to be found before a run is given up, and how far apart: a share of the vendor's hour."""

    count: int
    apart: float


TOLD = LastLooks(2, 1 / 60)
"""The vendor's own clock says that the hour is over."""

UNTOLD = LastLooks(4, 1 / 60)
"""Only the database's does: one that is ahead for a minute gives nothing up."""

LISTED = LastLooks(6, 1 / 6)
"""The request history has the run, as one that is not over or whose output it does not name: it may still come."""


def last_looks(
    job: Job, answered_at: datetime | None, lifetime: timedelta, *, is_listed: bool = False
) -> LastLooks | None:
    """Return how a run is looked at before it is given up, or None while the vendor may still have it."""
    told = vendors_age(job, answered_at)
    is_over = (job.age if told is None else told) >= lifetime
    if not is_over:
        return None
    if is_listed:
        return LISTED
    return UNTOLD if told is None else TOLD


def vendors_age(job: Job, answered_at: datetime | None) -> timedelta | None:
    """Return how old the vendor's own dates make a run; one that is missing, goes back or is absurd tells nothing."""
    if answered_at is None or job.vendor_submitted_at is None:
        return None
    age = answered_at - job.vendor_submitted_at
    is_believed = age >= timedelta(0) and abs(age - job.age) <= BELIEVED
    return age if is_believed else None
