"""What a process learns from the rows: how long the last runs took, and what is known of the request limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, case, func, or_, select, update

from worker.database.latest import latest
from worker.database.line import is_waiting
from worker.database.phases import Phase
from worker.database.tables import accounts, jobs, now
from worker.errors import RemoteJobFailed
from worker.rules.lifecycle import NOW, JobState
from worker.rules.survival import Run

RUNS = 400
"""How many runs are learnt from: the vendor's pace is that of the last hours."""

DOUBTED_FOR = timedelta(days=1)
"""After which it is tried again whether a look at a result also tells that a run goes on."""

MANY = 1000
"""Jobs from which on more of them make no difference to what a request is worth."""


@dataclass(frozen=True)
class Known:
    """What an account's row says of its limit, and how many jobs wait for it, or are polled under it."""

    learnt_limit: float | None
    learnt_ago: timedelta
    reads_count: bool | None
    waiting: int
    polled: int
    single_look: bool | None = None


def known(connection: Connection, account: str) -> Known:
    """Read what was learnt of an account; more than :data:`MANY` jobs are not counted."""
    waiting = _count(*is_waiting(account), order=jobs.c.waits_until)
    is_polled = (jobs.c.account == account, jobs.c.phase == Phase.UNDER_WAY, jobs.c.state == JobState.PROCESSING)
    polled = _count(*is_polled, order=jobs.c.accepted_at)
    query = select(
        accounts.c.learnt_limit,
        now - accounts.c.learnt_at,
        accounts.c.reads_count,
        waiting,
        polled,
        _single_look,
    ).where(accounts.c.name == account)
    learnt, ago, *more = connection.execute(query).one()
    return Known(float(learnt) if learnt is not None else None, ago or NOW, *more)


def _count(*which: ColumnElement[bool], order: ColumnElement[datetime]) -> ScalarSelect[int]:
    """Count some of the jobs in the order of their index: in none, PostgreSQL may begin with all that have ended."""
    found = select(jobs.c.id).where(*which).order_by(order).limit(MANY).subquery()
    return select(func.count()).select_from(found).scalar_subquery()


_single_look = case(
    (or_(accounts.c.single_look, accounts.c.single_look_at > now - DOUBTED_FOR), accounts.c.single_look)
)


def learn_look(connection: Connection, account: str, *, works: bool) -> bool:
    """Write whether a look at a result also tells that a run goes on; return whether that is new."""
    learnt = (
        update(accounts)
        .where(accounts.c.name == account, _single_look.is_distinct_from(works))
        .values(single_look=works, single_look_at=now)
        .returning(accounts.c.name)
    )
    return connection.execute(learnt).scalar() is not None


def recent_runs(connection: Connection, account: str) -> Sequence[Run]:
    """Read what was seen of the account's last runs, the newest submit first."""
    is_failed = and_(jobs.c.state == JobState.FAILED, jobs.c.error_code == RemoteJobFailed.code)
    over_at = func.coalesce(jobs.c.completed_at, case((is_failed, jobs.c.finished_at)))
    ages = (
        (moment - jobs.c.submitted_at).label(name)
        for name, moment in (("running_at", jobs.c.running_at), ("over_by", over_at))
    )
    times = (jobs.c.metrics[name].as_float().label(name) for name in ("total_time", "queue_time"))
    tells = or_(over_at.is_not(None), jobs.c.running_at > jobs.c.submitted_at)
    query = latest(select(*ages, *times).where(tells), account).limit(RUNS)
    return [_run(*row) for row in connection.execute(query)]


def _run(running_at: timedelta | None, over_by: timedelta | None, told: float | None, queued: float | None) -> Run:
    seen = max(running_at or NOW, NOW)
    return Run(seen.total_seconds(), max(over_by, seen).total_seconds() if over_by is not None else None, told, queued)
