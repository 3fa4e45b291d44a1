"""Look at many runs at once: a page of the vendor's request history takes the place of their polls."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from worker import changes
from worker.answers import RemoteStatus, RunStatus
from worker.changes import Recorded
from worker.database import Connection, transaction
from worker.history import Listed
from worker.job import Job
from worker.lifecycle import FollowUp
from worker.outcome import decide
from worker.outlook import ACCOUNT
from worker.repository import jobs
from worker.services import Services
from worker.steps import seen

LEAST = 10
"""Polls that are due from which on a page is worth it: it is larger than all of them."""

SOON = timedelta(seconds=5)
"""How long before its poll a run is looked at with others."""

LEFT_TO_POLLS = {RemoteStatus.FAILED, RemoteStatus.UNRECOGNISED}
"""Why a run failed, and what a word means that nobody knows, is for a poll to say."""

log = structlog.get_logger(__name__)


def look(services: Services) -> Sequence[FollowUp]:
    """Settle the polls that are due soon with one page, where there are many; what it does not list is polled.

    Safe to run twice because each write is fenced by the version that was read.

    Raises:
        AccountHeld, HistoryMissing, RemoteUnavailable: the history can't be read; the runs are polled.
    """
    with transaction(services.engine) as connection:
        due = jobs.polled_soon(connection, ACCOUNT, SOON)
    if len(due) < LEAST:
        return ()
    listed = services.vendor.newest(due[0].observed_at)
    with transaction(services.engine) as connection:
        settled = [_settle(services, connection, job, listed) for job in due]
    following = [each for each in settled if each]
    log.info("runs_looked_at", due=len(due), settled=len(following))
    return following


def _settle(services: Services, connection: Connection, job: Job, listed: Mapping[str, Listed]) -> FollowUp | None:
    """Write what the page says of a run; it comes from another host, so it says nothing of the account."""
    found = listed.get(job.request_id or "")
    is_old = job.age > services.settings.sam3d_processing_deadline
    if found is None or found.status in LEFT_TO_POLLS or is_old:
        return None
    outcome = seen(services, job, RunStatus(found.status, {}, None))
    change = decide(job.state, job.attempts, outcome)
    version = jobs.write(connection, job, change, services.settings.sam3d_sweep_grace)
    return changes.follow_up(job, Recorded(change, version, ()))
