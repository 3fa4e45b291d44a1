"""How a job's end is logged: our reason for it, and no word of the vendor's."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from worker.database.engine import Connection, once_committed
from worker.events.payloads import metrics_of
from worker.log import Log
from worker.rules.job import Job
from worker.rules.lifecycle import LOGGED_END, JobState
from worker.rules.outcome import Change, known
from worker.vendor.quoting import unquoted

log = Log(__name__)


def tell_end(connection: Connection, job_id: str, state: JobState, **told: Any) -> None:
    """Log how a job ended as :func:`log_end` does, once that is committed."""
    once_committed(connection, partial(log_end, job_id, state, **told))


def log_end(job_id: str, state: JobState, *, reason: str | None = None, **more: object) -> None:
    """Log how a job ended: our reason for it, and no word of the vendor's."""
    level, next_step = TOLD_END[state]
    told = {**more, "reason": reason and unquoted(reason), "next": next_step}
    shown = {name: each for name, each in told.items() if each is not None}
    log.log(level, LOGGED_END[state], job_id=job_id, **shown)


def told_of_end(job: Job, change: Change) -> dict[str, Any]:
    """Return what is logged of the change that ends a job."""
    learnt, cost = change.learnt, metrics_of(job, change).get("cost")
    told = {"code": known(learnt.error_code), "reason": known(learnt.error_message)}
    return {**told, "trigger": change.trigger, "cost": cost}


TOLD_END: Mapping[JobState, tuple[int, str | None]] = {
    JobState.SUCCEEDED: (logging.INFO, None),
    JobState.FAILED: (logging.WARNING, "its sender was told; see `sam3d job ID`"),
    JobState.CANCELLED: (logging.INFO, None),
    JobState.REVIEW: (logging.ERROR, "see `sam3d review`"),
}
"""How grave each end is, and what there is to do about it."""
