"""The ledger of money: each POST's intent and answer, and which of them nobody can tell the fate of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, insert, literal, not_, or_, select, update

from worker.history import Sent
from worker.job import Job
from worker.lifecycle import JobState, Verdict
from worker.models import jobs, now, submissions
from worker.repository.jobs import SEEN, is_held

OPEN = [verdict for verdict in Verdict if verdict.is_open]
"""The verdicts that leave open whether a run was started, beside none at all."""


def intend(connection: Connection, token: str, job: Job, worker: str, session: int, inputs_sha256: str) -> None:
    """Write the intent to pay, in the transaction that takes the job."""
    connection.execute(
        insert(submissions).values(
            token=token,
            job_id=job.id,
            worker=worker,
            session=session,
            inputs_sha256=inputs_sha256,
            is_inline=job.is_inline,
        )
    )


@dataclass(frozen=True)
class Answered:
    """What came back to a POST, or what was found out about it."""

    verdict: Verdict
    request_id: str | None = None
    http_status: int | None = None
    detail: str | None = None


def answer(connection: Connection, token: str | None, what: Answered) -> None:
    """Write what came back to a POST, by its token, whatever became of the job meanwhile.

    That nobody knows does not take the place of what was found out.
    """
    connection.execute(
        update(submissions)
        .where(submissions.c.token == token, or_(_is_open(), literal(what.verdict not in OPEN)))
        .values(
            answered_at=now,
            verdict=what.verdict,
            request_id=what.request_id,
            http_status=what.http_status,
            detail=what.detail,
        )
    )


def resolve(connection: Connection, job_id: str, what: Answered) -> None:
    """Write what was found out about the submits of a job that had no answer; what was answered stays."""
    connection.execute(
        update(submissions)
        .where(submissions.c.job_id == job_id, _is_open())
        .values(verdict=what.verdict, request_id=what.request_id, detail=what.detail)
    )


def job_of(connection: Connection, token: str) -> Job | None:
    """Return the job of a POST, or None where its intent was never committed."""
    query = select(*SEEN).join(submissions, submissions.c.job_id == jobs.c.id).where(submissions.c.token == token)
    row = connection.execute(query).mappings().first()
    return Job.from_row(row) if row else None


def _is_open() -> Any:
    return or_(submissions.c.verdict.is_(None), submissions.c.verdict.in_(OPEN))


def is_claimed(connection: Connection, request_id: str, job_id: str) -> bool:
    """Tell whether another job has this run."""
    query = exists().where(jobs.c.request_id == request_id, jobs.c.id != job_id)
    return bool(connection.execute(select(query)).scalar())


def has_open(connection: Connection, job_id: str, but: str | None) -> bool:
    """Tell whether a job has a submit, beside one, of which nobody knows whether it started a run."""
    query = exists().where(submissions.c.job_id == job_id, submissions.c.token.is_distinct_from(but), _is_open())
    return bool(connection.execute(select(query)).scalar())


@dataclass(frozen=True)
class Submission:
    """A POST as it is known."""

    token: str
    session: int | None
    inputs_sha256: str | None
    is_inline: bool | None
    intended_at: datetime
    answered_at: datetime | None
    http_status: int | None
    verdict: Verdict | None


@dataclass(frozen=True)
class Unanswered:
    """A job whose last submit has no answer that tells, and all of its submits, oldest first."""

    job: Job
    submissions: Sequence[Submission]


def unanswered(connection: Connection, limit: int) -> list[Unanswered]:
    """List the jobs that are due to be looked up: nobody waits for their answer any more."""
    query = (
        select(*SEEN)
        .where(
            jobs.c.state == JobState.SUBMITTING,
            jobs.c.due_at <= now,
            or_(jobs.c.lease_until.is_(None), jobs.c.lease_until <= now),
            not_(is_held),
        )
        .order_by(jobs.c.due_at)
        .limit(limit)
    )
    found = [Job.from_row(row) for row in connection.execute(query).mappings()]
    made = _of_jobs(connection, [job.id for job in found])
    return [Unanswered(job, made[job.id]) for job in found if job.id in made]


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


def claimed(connection: Connection, request_ids: Iterable[str]) -> frozenset[str]:
    """Return those of some runs that jobs have."""
    query = select(jobs.c.request_id).where(jobs.c.request_id.in_(list(request_ids)))
    return frozenset(each for each in connection.execute(query).scalars() if each)


def accepted(connection: Connection, request_ids: Iterable[str]) -> list[Sent]:
    """Return those of some runs that were the answer to a submit of ours, with what was sent."""
    query = select(
        submissions.c.request_id, submissions.c.inputs_sha256, submissions.c.is_inline, submissions.c.intended_at
    ).where(
        submissions.c.request_id.in_(list(request_ids)),
        submissions.c.verdict == Verdict.ACCEPTED,
        submissions.c.inputs_sha256.is_not(None),
    )
    return [Sent(*row) for row in connection.execute(query)]
