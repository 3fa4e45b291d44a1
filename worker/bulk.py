"""Look at many runs at once: a page of the vendor's request history takes the place of their polls."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from worker import changes
from worker.answers import RemoteStatus, RunResult, RunStatus, canonical_id
from worker.changes import Recorded
from worker.database import Connection, transaction
from worker.history import Listed
from worker.job import Job
from worker.lifecycle import FollowUp
from worker.outcome import Change, decide
from worker.outlook import ACCOUNT
from worker.repository import jobs
from worker.services import Services
from worker.steps import seen
from worker.vendor import PAGE_SIZES

LEAST = 10
"""Polls that are due from which on a page is worth it: it is more bytes than fewer answers."""

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
        due = jobs.polled_soon(connection, ACCOUNT, SOON, PAGE_SIZES[0])
    if len(due) < LEAST:
        return ()
    listed = services.vendor.newest(due[0].observed_at)
    changed = [(job, change) for job in due if (change := _change(services, job, listed))]
    with transaction(services.engine) as connection:
        following = [_write(connection, job, change, services) for job, change in changed]
    log.info("bulk_looked", due=len(due), settled=len(changed))
    return [each for each in following if each]


def _change(services: Services, job: Job, listed: Mapping[str, Listed]) -> Change | None:
    """Return what the page says of a run, or None where that is for its poll to say."""
    found = listed.get(canonical_id(job.request_id or ""))
    if found is None or found.status in LEFT_TO_POLLS:
        return None
    return decide(job.state, job.attempts, seen(services, job, RunResult(RunStatus(found.status, {}, None), ())))


def _write(connection: Connection, job: Job, change: Change, services: Services) -> FollowUp | None:
    """Write it if nobody wrote meanwhile; it comes from another host, so it says nothing of the account."""
    version = jobs.write(connection, job, change, services.settings.sam3d_sweep_grace)
    return changes.follow_up(job, Recorded(change, version, ()))
