"""Submits that have no answer that tells: which there are, and what was found out about them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, not_, or_, select, update

from worker.database.due import is_held
from worker.database.phases import Phase
from worker.database.records import is_open, submissions
from worker.database.tables import SEEN, accounts, jobs, now
from worker.errors import HoldCause
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Verdict
from worker.rules.run import Inputs


@dataclass(frozen=True)
class Submission:
    """A POST as it is known."""

    token: str
    session: int | None
    inputs: Inputs | None
    is_inline: bool | None
    intended_at: datetime
    answered_at: datetime | None
    http_status: int | None
    verdict: Verdict | None
    told: str | None = None  # The run that it was answered with, whoever has it.
    address: str | None = None  # The mark of the address that names it.


@dataclass(frozen=True)
class Unanswered:
    """A job that has submits without an answer that tells, and all of its submits, oldest first.

    ``account_up_at`` is when its account went on last, now if submits are still down: before that nothing was
    submitted that could prove it absent.
    """

    job: Job
    submissions: Sequence[Submission]
    account_up_at: datetime | None = None


def unanswered(connection: Connection, job_ids: Sequence[str]) -> list[Unanswered]:
    """List those of some jobs that are due to be looked up: nobody waits for their answer any more."""
    query = (
        select(*SEEN)
        .where(
            jobs.c.id.in_(job_ids),
            jobs.c.state == JobState.SUBMITTING,
            jobs.c.due_at <= now,
            or_(jobs.c.lease_until.is_(None), jobs.c.lease_until <= now),
            not_(is_held),
        )
        .order_by(jobs.c.due_at)
    )
    return _with_submissions(connection, query)


def left_open(connection: Connection, within: timedelta, again: timedelta, limit: int) -> list[Unanswered]:
    """List the jobs that wait for no answer any more but have a submit without one, of the last hour or so.

    They were cancelled, are in review, or were submitted again: their runs are theirs all the same. Each is due as
    often as it is old, at least ``again`` and at most a minute apart.
    """
    age = submissions.c.looked_at - submissions.c.intended_at
    pause = func.least(timedelta(minutes=1), func.greatest(again, age))
    open_ones = select(submissions.c.job_id).where(
        is_open,
        submissions.c.intended_at > now - within,
        or_(submissions.c.looked_at.is_(None), submissions.c.looked_at + pause <= now),
    )
    query = select(*SEEN).where(jobs.c.id.in_(open_ones), jobs.c.state != JobState.SUBMITTING, not_(is_held))
    return _with_submissions(connection, query.order_by(jobs.c.accepted_at.desc()).limit(limit))


def note_look(connection: Connection, job_ids: Iterable[str]) -> None:
    """Remember that the history was searched for the submits of some jobs."""
    which = (submissions.c.job_id.in_(list(job_ids)), is_open)
    connection.execute(update(submissions).where(*which).values(looked_at=now))


def _with_submissions(connection: Connection, query: Any) -> list[Unanswered]:
    shown = query.add_columns(_account_up_at().label("account_up_at"))
    found = [(Job.from_row(row), row["account_up_at"]) for row in connection.execute(shown).mappings()]
    made = _of_jobs(connection, [job.id for job, _ in found])
    return [Unanswered(job, made[job.id], up_at) for job, up_at in found if job.id in made]


def _account_up_at() -> ColumnElement[datetime | None]:
    payer = accounts.alias()
    is_down = and_(payer.c.held_at.is_not(None), payer.c.held_cause == HoldCause.OUTAGE)
    up_at = case((is_down, now), else_=payer.c.resumed_at)
    return select(up_at).where(payer.c.name == jobs.c.account).scalar_subquery()


def _of_jobs(connection: Connection, job_ids: Iterable[str]) -> Mapping[str, list[Submission]]:
    shown = [submissions.c[name] for name in Submission.__dataclass_fields__]
    query = select(submissions.c.job_id, *shown).where(submissions.c.job_id.in_(list(job_ids)))
    made: dict[str, list[Submission]] = {}
    for row in connection.execute(query.order_by(submissions.c.intended_at)).mappings():
        known = {name: row[name] for name in Submission.__dataclass_fields__}
        verdict = Verdict(row["verdict"]) if row["verdict"] else None
        made.setdefault(row["job_id"], []).append(Submission(**{**known, "verdict": verdict}))
    return made


def postpone(connection: Connection, job: Job, due_in: timedelta, waits_for: str) -> None:
    """Look at a job in doubt again later."""
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.version == job.version)
        .values(due_at=now + due_in, waits_for=waits_for)
    )


def last_intended(connection: Connection, job_id: str) -> datetime | None:
    """Return when a job was submitted last, as it was written before the POST."""
    query = select(func.max(submissions.c.intended_at)).where(submissions.c.job_id == job_id)
    return connection.execute(query).scalar()


def look_now(connection: Connection, account: str) -> None:
    """Let the jobs in doubt be looked at again at once."""
    is_doubted = (jobs.c.phase == Phase.UNDER_WAY, jobs.c.state == JobState.SUBMITTING, jobs.c.lease_until.is_(None))
    in_doubt = (jobs.c.account == account, *is_doubted)
    connection.execute(update(jobs).where(*in_doubt, jobs.c.due_at > now).values(due_at=now))


def latest_landing(connection: Connection, within: timedelta) -> timedelta | None:
    """Return how long after its submit a run was last seen not to be listed, of all of the last day or so."""
    query = select(func.max(submissions.c.missed_at - submissions.c.intended_at))
    return connection.execute(query.where(submissions.c.intended_at > now - within)).scalar()
