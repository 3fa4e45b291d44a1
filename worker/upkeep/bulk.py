"""Look at many runs at once: a page of the vendor's request history takes the place of their polls and results."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from worker.database import looks, slots
from worker.database.engine import Connection, transaction
from worker.errors import AccountHeld, HistoryMissing, RemoteUnavailable
from worker.log import Log
from worker.rules.budget import LEAST_BULK, Kind
from worker.rules.job import Job
from worker.rules.lifecycle import MINUTE, FollowUp
from worker.rules.outcome import Outcome, Snooze
from worker.rules.plan import LONGEST_GAP
from worker.rules.run import Listed, RemoteStatus
from worker.vendor.paging import PAGE_SIZES
from worker.work import changes
from worker.work.services import Services
from worker.work.steps import seen_in_history

EVERY, SOON = timedelta(seconds=10), timedelta(seconds=12)
"""Between two pages, and how long before its poll a run is looked at with others: a page covers what comes until the
next one."""

SOONEST = timedelta(seconds=30)
"""The most that the second grows to, where pages come late since there is much else to do."""

LONG_RUNS_EVERY, LONG_RUNS_SOON = timedelta(seconds=30), timedelta(seconds=40)
"""The same for runs that take twice as long as most: they are few, and listed far behind the newest."""

LONG_RUN = 2
"""Typical runs, after which one that goes on counts among the long ones."""

MOST_PAGES = 3
"""Read in one look: what is listed further back is left to polls."""

MORE_BULK = 2
"""Runs that are due and not listed yet, from which on a further page is worth it."""

MOST_RUNS = 1000
"""Of the newest that are counted to tell which page a run is on; and of those not due that a page may show as over."""

BATCH = 25
"""Jobs that are written in one transaction."""

TOO_LONG = 8
"""Typical runs, after which one that is said to go on is polled: the history may be late with its word."""

LEFT_TO_POLLS = {RemoteStatus.FAILED, RemoteStatus.UNRECOGNISED}
"""Why a run failed, and what a word means that nobody knows, is for a poll to say."""

log = Log(__name__)


class BulkLook:
    """Settles the polls that are due soon with a page, where there are many; what it does not list is polled."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._looks_at = self._looks_at_long_runs_at = clock()

    def look(self) -> Sequence[FollowUp]:
        """Look if it is time to. Safe to run twice because each write is fenced by the version that was read."""
        at = self._clock()
        settings = self._services.settings
        if "off" in {settings.budget.bulk_look, settings.history.mode} or at < self._looks_at:
            return ()
        late = timedelta(seconds=min(at - self._looks_at, SOONEST.total_seconds()))  # So may the next page be.
        self._looks_at = at + EVERY.total_seconds()
        try:
            return _settle(self._services, self._due(min(SOON + 2 * late, SOONEST), at))
        except (AccountHeld, HistoryMissing, RemoteUnavailable) as error:
            self._looks_at = at + MINUTE.total_seconds()
            log.warning("bulk_look_failed", reason=str(error), next="runs are polled; tries again in a minute")
            return ()

    def _due(self, within: timedelta, at: float) -> Sequence[Job]:
        with transaction(self._services.engine) as connection:
            due = looks.polled_soon(connection, self._services.account, within, PAGE_SIZES[0])
            if at < self._looks_at_long_runs_at:
                return due
            self._looks_at_long_runs_at = at + LONG_RUNS_EVERY.total_seconds()
            long = LONG_RUN * self._services.outlook.terms().plan.typical
            more = looks.polled_soon(connection, self._services.account, LONG_RUNS_SOON, PAGE_SIZES[0], long)
        return list({job.id: job for job in [*due, *more]}.values())


def _settle(services: Services, due: Sequence[Job]) -> Sequence[FollowUp]:
    """Settle what is due, and what the same pages say is over."""
    if len(due) < LEAST_BULK:
        return ()
    listed = _listed(services, due)
    with transaction(services.engine) as connection:
        polled = looks.polled_soon(connection, services.account, LONGEST_GAP, MOST_RUNS)
    is_due = {job.id for job in due}
    over = [job for job in polled if job.id not in is_due and _status(job, listed) is RemoteStatus.COMPLETED]
    changed = [(job, outcome) for job in [*due, *over] if (outcome := _outcome(services, job, listed))]
    batches = [changed[first : first + BATCH] for first in range(0, len(changed), BATCH)]
    following = [each for batch in batches for each in _write_all(services, batch)]
    log.info("bulk_looked", due=len(due), settled=len(changed))
    return following


def _status(job: Job, listed: Mapping[str, Listed]) -> RemoteStatus | None:
    found = listed.get(job.run)
    return found.status if found else None


def _listed(services: Services, due: Sequence[Job]) -> Mapping[str, Listed]:
    """Read the pages that the runs may be on, until the pages end or too few are missing for another one."""
    with transaction(services.engine) as connection:
        newest = looks.submit_times(connection, services.account, MOST_RUNS)
    expected = {job.run: _page_of(job, newest) for job in due}
    listed: dict[str, Listed] = {}
    first = min(expected.values())
    for number in range(first, first + MOST_PAGES):
        with transaction(services.engine) as connection:
            slots.count(connection, services.account, Kind.HISTORY)
        page = services.vendor.newest(due[0].observed_at, number)
        listed |= {each.run: each for each in page.values()}
        missing = sum(run not in listed and on <= number + 1 for run, on in expected.items())
        if missing < MORE_BULK or len(page) < PAGE_SIZES[0] // 2:
            break
    return listed


def _page_of(job: Job, newest: Sequence[datetime]) -> int:
    """Return the first page that a run may be on: each newer one is listed before it, by one row at least."""
    newer = sum(at > (job.submitted_at or job.observed_at) for at in newest)
    return newer // PAGE_SIZES[0] + 1


def _outcome(services: Services, job: Job, listed: Mapping[str, Listed]) -> Outcome | None:
    """Return what the page says of a run, or None where that is for its poll to say."""
    found = listed.get(job.run)
    if found is None or found.status in LEFT_TO_POLLS:
        return None
    outcome = seen_in_history(services, job, found)
    typical = services.outlook.terms().plan.typical
    if isinstance(outcome, Snooze) and job.age > LONG_RUN * typical:
        if job.age > TOO_LONG * typical:
            return None
        outcome = replace(outcome, due_in=max(outcome.due_in, LONG_RUNS_SOON))
    return outcome


def _write_all(services: Services, changed: Sequence[tuple[Job, Outcome]]) -> Sequence[FollowUp]:
    with transaction(services.engine) as connection:
        following = [_write(connection, job, outcome, services) for job, outcome in changed]
    return [each for each in following if each]


def _write(connection: Connection, job: Job, outcome: Outcome, services: Services) -> FollowUp | None:
    """Apply what a page says of a run, unless somebody wrote to its job meanwhile."""
    return changes.follow_up(job, changes.apply(connection, job, outcome, services.settings.upkeep.sweep_grace))
