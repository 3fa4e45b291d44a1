"""What an account's jobs were refused, beside what others were answered: noted, and read when one more is.

What lies ahead was written before the clock was set back: it tells nothing of what came before or after what.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, case, exists, func, select, true, update

from worker.database.latest import submitted_since
from worker.database.records import submissions
from worker.database.tables import jobs, now
from worker.rules.job import Job
from worker.rules.lifecycle import MINUTE, JobState, Verdict
from worker.rules.retry import OUTPUT_LIFETIME
from worker.rules.standing import Refusals, RefusedReads


def count_refusal(connection: Connection, job_id: str) -> None:
    """Note that a job was refused: where a held account is tried, others go first."""
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(refusals=jobs.c.refusals + 1))


AT_ONCE = 500
"""Submits of which the one that was sent last need not be the one that was answered last: more are not under way."""

_ACCEPTED = (Verdict.ACCEPTED, Verdict.ADOPTED)
_REFUSED = (Verdict.HELD, Verdict.DISPUTED)


def refusals(connection: Connection, job: Job) -> Refusals:
    """Read what is known of refusals when a submit, which has no answer in the ledger yet, is refused."""
    first = select(func.min(submissions.c.answered_at)).where(*_disputed(job)).scalar_subquery()
    count = select(func.count()).where(*_disputed(job)).scalar_subquery()
    others = (
        select(submissions.c.job_id)
        .join(jobs, jobs.c.id == submissions.c.job_id)
        .where(jobs.c.account == job.account, jobs.c.id != job.id)
        .where(submissions.c.answered_at > first, submissions.c.answered_at <= now)
    )
    passed = others.where(submissions.c.verdict.in_(_ACCEPTED), submissions.c.intended_at > first)
    since = others.where(submissions.c.intended_at > first - MINUTE)
    came_back = since.where(submissions.c.verdict == Verdict.DISPUTED, _passed_later())
    query = select(count, passed.exists(), came_back.exists(), _last_verdict(job))
    of_job, has_passed, do_come_back, last = connection.execute(query).one()
    return Refusals(of_job + 1, has_passed, do_come_back, last in _REFUSED)


def _disputed(job: Job) -> Sequence[ColumnElement[bool]]:
    return submissions.c.job_id == job.id, submissions.c.verdict == Verdict.DISPUTED, submissions.c.token != job.token


def _passed_later() -> ColumnElement[bool]:
    """Tell whether the job of a submit had a later one that was accepted."""
    later = submissions.alias()
    is_later = (later.c.job_id == submissions.c.job_id, later.c.answered_at > submissions.c.answered_at)
    return exists().where(*is_later, later.c.verdict.in_(_ACCEPTED))


def _last_verdict(job: Job) -> ColumnElement[str | None]:
    """Return what the account's last submit was answered, of those that tell whether it works."""
    tells = (submissions.c.verdict.in_((*_ACCEPTED, *_REFUSED)), submissions.c.answered_at <= now)
    query = select(submissions.c.verdict, submissions.c.answered_at).join(jobs, jobs.c.id == submissions.c.job_id)
    others = query.where(jobs.c.account == job.account, *tells, submissions.c.token != job.token)
    newest = others.order_by(submissions.c.intended_at.desc()).limit(AT_ONCE).subquery()
    return select(newest.c.verdict).order_by(newest.c.answered_at.desc()).limit(1).scalar_subquery()


def refused_reads(connection: Connection, job: Job) -> RefusedReads:
    """Write down that a read of a run was refused, and read what is known of the reads of others."""
    noted = update(jobs).where(jobs.c.id == job.id).values(refused_at=func.coalesce(jobs.c.refused_at, now))
    since = connection.execute(noted.returning(jobs.c.refused_at)).scalar()
    ended_at = case((jobs.c.state == JobState.SUCCEEDED, jobs.c.finished_at))
    read_at = func.greatest(jobs.c.running_at, jobs.c.completed_at, ended_at)
    recent = (jobs.c.account == job.account, jobs.c.id != job.id, *submitted_since(OUTPUT_LIFETIME))
    last = connection.execute(select(func.max(read_at)).where(*recent, read_at <= now)).scalar()
    since_then = true() if last is None else jobs.c.refused_at > last
    under_way = jobs.c.state.in_((JobState.PROCESSING, JobState.FETCHING))
    another = exists().where(*recent, under_way, jobs.c.refused_at.is_not(None), since_then)
    is_another_refused = bool(connection.execute(select(another)).scalar())
    return RefusedReads(last is not None and since is not None and last > since, is_another_refused)
