"""What the request budget was used for, and what it carried."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Float, cast, func, select

from worker.database.latest import latest
from worker.database.phases import Phase
from worker.database.records import requests
from worker.database.tables import accounts, is_live, jobs, now
from worker.rules.budget import Kind
from worker.rules.lifecycle import MINUTE, NOW, JobState

LAST_JOBS = 100
"""Of how many finished jobs the requests are averaged."""


@dataclass(frozen=True)
class Used:
    """Requests of one kind: in the last whole minute, and in the last hour."""

    kind: Kind
    last_minute: int
    last_hour: int


def used(connection: Connection, account: str) -> Sequence[Used]:
    """Count what an account's budget was used for; each kind, also one that it was not used for."""
    this_minute = func.date_trunc("minute", now)
    in_last = func.coalesce(func.sum(requests.c.count).filter(requests.c.minute == this_minute - MINUTE), 0)
    query = (
        select(requests.c.kind, in_last, func.sum(requests.c.count))
        .where(requests.c.account == account, requests.c.minute > this_minute - timedelta(hours=1))
        .group_by(requests.c.kind)
    )
    found = {kind: (minute, hour) for kind, minute, hour in connection.execute(query)}
    return [Used(kind, *found.get(kind, (0, 0))) for kind in Kind]


@dataclass(frozen=True)
class Carried:
    """What the last jobs that succeeded took, and how many jobs are where."""

    finished: int
    requests_per_job: float | None
    polls_per_job: float | None
    waiting: int
    in_flight: int
    closed_for: timedelta


def carried(connection: Connection, account: str) -> Carried:
    """Read how an account's jobs fare."""
    succeeded = select(jobs.c.requests, jobs.c.polls).where(jobs.c.state == JobState.SUCCEEDED)
    last = latest(succeeded, account).limit(LAST_JOBS).subquery()
    took = select(func.count(), cast(func.avg(last.c.requests), Float), cast(func.avg(last.c.polls), Float))
    under_way = (JobState.SUBMITTING, JobState.PROCESSING, JobState.FETCHING)
    of_account = select(func.count()).select_from(jobs).where(jobs.c.account == account)
    waiting = of_account.where(jobs.c.phase == Phase.WAITING).scalar_subquery()
    in_flight = of_account.where(is_live, jobs.c.state.in_(under_way)).scalar_subquery()
    closed = func.greatest(accounts.c.closed_until - now, NOW)
    rest = select(waiting, in_flight, closed).where(accounts.c.name == account)
    jobs_then, per_job, polls = connection.execute(took.select_from(last)).one()
    return Carried(jobs_then, per_job, polls, *connection.execute(rest).one())
