"""Look at many runs at once: a page of the vendor's request history takes the place of their polls and results."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from worker import changes
from worker.answers import RemoteStatus, RunResult, RunStatus, canonical_id, read_numbers
from worker.budget import LEAST_BULK, Kind
from worker.database import Connection, transaction
from worker.history import Listed
from worker.job import Job
from worker.lifecycle import FollowUp
from worker.outcome import Change, decide
from worker.outlook import ACCOUNT
from worker.paging import PAGE_SIZES
from worker.repository import budget, jobs
from worker.schedule import NOW
from worker.services import Services
from worker.steps import seen

EVERY, SOON = timedelta(seconds=5), timedelta(seconds=7)
"""Between two pages, and how long before its poll a run is looked at with others: a page covers what comes until the
next one."""

SOONEST = timedelta(seconds=30)
"""The most of that, where pages come late since there is much else to do."""

MOST_PAGES = 3
BATCH = 25
"""Jobs that are written in one transaction."""

LONG = 8
"""Typical runs, after which one that is said to go on is polled: the history may be late with its word."""

LEFT_TO_POLLS = {RemoteStatus.FAILED, RemoteStatus.UNRECOGNISED}
"""Why a run failed, and what a word means that nobody knows, is for a poll to say."""

log = structlog.get_logger(__name__)


def look(services: Services, late: timedelta = NOW) -> Sequence[FollowUp]:
    """Settle the polls that are due soon with a page, where there are many; what it does not list is polled.

    ``late`` is by how much the page comes later than it should: so may the next one.

    Safe to run twice because each write is fenced by the version that was read.

    Raises:
        AccountHeld, HistoryMissing, RemoteUnavailable: the history can't be read; the runs are polled.
    """
    with transaction(services.engine) as connection:
        due = jobs.polled_soon(connection, ACCOUNT, min(SOON + 2 * late, SOONEST), PAGE_SIZES[0])
    if len(due) < LEAST_BULK:
        return ()
    listed = _listed(services, due)
    changed = [(job, change) for job in due if (change := _change(services, job, listed))]
    batches = [changed[first : first + BATCH] for first in range(0, len(changed), BATCH)]
    following = [each for batch in batches for each in _write_all(services, batch)]
    log.info("bulk_looked", due=len(due), settled=len(changed))
    return following


def _listed(services: Services, due: Sequence[Job]) -> Mapping[str, Listed]:
    """Read the newest requests, until the pages end or too few of the runs are missing for another one."""
    wanted = {canonical_id(job.request_id or "") for job in due}
    listed: dict[str, Listed] = {}
    for number in range(1, MOST_PAGES + 1):
        with transaction(services.engine) as connection:
            budget.count(connection, ACCOUNT, Kind.HISTORY)
        page = services.vendor.newest(due[0].observed_at, number)
        listed |= {canonical_id(each.request_id): each for each in page.values()}
        if len(wanted - listed.keys()) < LEAST_BULK or len(page) < PAGE_SIZES[0] // 2:
            break
    return listed


def _change(services: Services, job: Job, listed: Mapping[str, Listed]) -> Change | None:
    """Return what the page says of a run, or None where that is for its poll to say."""
    found = listed.get(canonical_id(job.request_id or ""))
    if found is None or found.status in LEFT_TO_POLLS:
        return None
    is_old = job.age > LONG * services.outlook.terms().plan.typical
    if is_old and found.status is not RemoteStatus.COMPLETED:
        return None
    return decide(job.state, job.attempts, seen(services, job, _result(job, found)))


def _result(job: Job, found: Listed) -> RunResult:
    """Return what a row tells of a run; where not all of its outputs have one yet, its result is to be asked."""
    outputs = 2 if job.parameters.get("include_artifacts") else 1
    addresses = found.addresses if len(found.addresses) >= outputs else ()
    return RunResult(RunStatus(found.status, read_numbers({"cost": found.cost}), None), addresses)


def _write_all(services: Services, changed: Sequence[tuple[Job, Change]]) -> Sequence[FollowUp]:
    with transaction(services.engine) as connection:
        following = [_write(connection, job, change, services) for job, change in changed]
    return [each for each in following if each]


def _write(connection: Connection, job: Job, change: Change, services: Services) -> FollowUp | None:
    """Write it if nobody wrote meanwhile; it comes from another host, so it says nothing of the account."""
    grace = services.settings.sam3d_sweep_grace
    return changes.follow_up(job, changes.write(connection, job, change, grace, tells_of_account=False))
