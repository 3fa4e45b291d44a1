"""The ledger of money: each POST's intent and answer, and which of them nobody can tell the fate of."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Insert,
    Select,
    Update,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from worker.database.records import is_open, submissions
from worker.database.tables import SEEN, jobs, now
from worker.errors import NotSent
from worker.rules.habits import Sent
from worker.rules.job import Body, Job
from worker.rules.lifecycle import Verdict
from worker.rules.request_id import canonical_id
from worker.rules.run import Inputs

OPEN = [verdict for verdict in Verdict if verdict.is_open]
"""The verdicts that leave open whether a run was started, beside none at all."""


@dataclass(frozen=True)
class Digest:
    """What is kept of a body that is sent: enough to know it again, and too little to read it.

    ``address`` is the mark of the address that names this submit, once a photo of ours has one.
    """

    sha256: str
    inputs: Inputs
    address: str | None = None


def intend(connection: Connection, token: str, job: Job, worker: str, session: int, sent: Digest) -> None:
    """Write the intent to pay, in the transaction that takes the job."""
    connection.execute(_intending(), {"job_id": job.id, **intent_of(token, job, worker, session, sent)})


def forestall(connection: Connection, token: str, job_id: str, worker: str) -> None:
    """Take the token of an intent that may come yet, so that it can't be written: its whole statement is undone."""
    known = {"verdict": Verdict.NOT_STARTED, "answered_at": now, "detail": "it came to nothing before it was written"}
    connection.execute(insert(submissions).values(token=token, job_id=job_id, worker=worker, **known))


def is_void(connection: Connection, token: str) -> bool:
    """Tell whether nothing was sent for an intent, as is known."""
    is_so = exists().where(submissions.c.token == token, submissions.c.verdict == Verdict.NOT_STARTED)
    return bool(connection.execute(select(is_so)).scalar())


def intent_of(token: str, body: Body, worker: str, session: int, sent: Digest) -> dict[str, Any]:
    """Return what the row of an intent says, beside whose it is."""
    named = {"token": token, "worker": worker, "session": session, "is_addressed": body.is_addressed}
    return {**named, **_marks(body, sent)}


@cache
def _intending() -> Insert:
    return insert(submissions)


def _marks(body: Body, sent: Digest) -> dict[str, Any]:
    marks = {"inputs_sha256": sent.sha256, "inputs": dict(sent.inputs), "address": sent.address}
    return {**marks, "is_inline": body.is_inline}


def enclose(connection: Connection, job: Job, sent: Digest) -> bool:
    """Write what is sent, before its first byte; return False where another submit has that address already.

    Raises:
        NotSent: the intent is gone, or somebody has answered it.
    """
    try:
        with connection.begin_nested():
            written = connection.execute(_enclosing(), {"post": job.token, **_marks(job, sent)}).rowcount
    except IntegrityError:
        return False
    if not written:
        raise NotSent("What was intended is not so any more.")
    return True


@cache
def _enclosing() -> Update:
    return update(submissions).where(submissions.c.token == bindparam("post"), submissions.c.verdict.is_(None))


@dataclass(frozen=True)
class Answered:
    """What came back to a POST, or what was found out about it."""

    verdict: Verdict
    request_id: str | None = None
    http_status: int | None = None
    detail: str | None = None
    token: str | None = None  # Of the submit that has the run; None: of the newest that has no answer.


def answer(connection: Connection, token: str | None, what: Answered) -> None:
    """Write what came back to a POST, by its token, whatever became of the job meanwhile.

    That nobody knows does not take the place of what was found out.
    """
    may = or_(is_open, literal(what.verdict not in OPEN))
    now_known = update(submissions).where(submissions.c.token == token, may).values(answered_at=now)
    connection.execute(now_known, written(what))


def written(what: Answered) -> dict[str, Any]:
    """Return what a row says of an answer, beside when it came."""
    return {
        "verdict": what.verdict,
        "request_id": what.request_id,
        "http_status": what.http_status,
        "detail": what.detail,
    }


def run_of(table: Any) -> Any:
    """Return a request id in the one writing that ids are compared in, as ``canonical_id`` does."""
    return func.lower(func.replace(table.c.request_id, "-", ""))


def resolve(connection: Connection, job_id: str, what: Answered) -> None:
    """Write what was found out about the submits of a job that had no answer; what was answered stays.

    A run is that of one submit: the newest without an answer, if none is named. The others stay as they are.
    """
    values = {"verdict": what.verdict, "request_id": what.request_id, "detail": what.detail}
    which = and_(submissions.c.job_id == job_id, is_open)
    if what.request_id:
        newest = select(submissions.c.token).where(which).order_by(submissions.c.intended_at.desc()).limit(1)
        which = and_(which, submissions.c.token == (what.token or newest.scalar_subquery()))
        values["run"] = canonical_id(what.request_id)
    connection.execute(update(submissions).where(which).values(values))


def is_intended(connection: Connection, token: str) -> bool:
    """Tell whether the intent of a POST is committed."""
    return bool(connection.execute(_is_intended(), {"token": token}).scalar())


@cache
def _is_intended() -> Select[bool]:
    return select(exists().where(submissions.c.token == bindparam("token")))


def job_of(connection: Connection, token: str) -> Job | None:
    """Return the job of a POST, or None where its intent was never committed."""
    row = connection.execute(_job_of(), {"token": token}).mappings().first()
    return Job.from_row(row) if row else None


@cache
def _job_of() -> Executable:
    which = submissions.c.token == bindparam("token")
    return select(*SEEN).join(submissions, submissions.c.job_id == jobs.c.id).where(which)


def has_open(connection: Connection, job_id: str, but: str | None) -> bool:
    """Tell whether a job has a submit, beside one, of which nobody knows whether it started a run."""
    query = exists().where(submissions.c.job_id == job_id, submissions.c.token.is_distinct_from(but), is_open)
    return bool(connection.execute(select(query)).scalar())


def answered(connection: Connection, since: datetime, deadline: timedelta) -> list[Sent]:
    """List the submits from some time on that were answered with a run; none takes longer than ``deadline``."""
    return _sent(
        connection, since, deadline, submissions.c.verdict == Verdict.ACCEPTED, submissions.c.request_id.is_not(None)
    )


def answered_id(connection: Connection) -> str | None:
    """Return the id that a submit was answered with last, as the vendor wrote it."""
    is_answered = (submissions.c.verdict == Verdict.ACCEPTED, submissions.c.request_id.is_not(None))
    query = select(submissions.c.request_id).where(*is_answered).order_by(submissions.c.intended_at.desc())
    return connection.execute(query.limit(1)).scalar()


def without_run(connection: Connection, since: datetime, deadline: timedelta) -> list[Sent]:
    """List the submits from some time on that may have started a run that nobody has."""
    return _sent(connection, since, deadline, or_(is_open, submissions.c.verdict == Verdict.ABSENT))


def _sent(connection: Connection, since: datetime, deadline: timedelta, *which: Any) -> list[Sent]:
    query = select(
        submissions.c.job_id,
        submissions.c.inputs,
        submissions.c.is_inline,
        submissions.c.intended_at,
        func.coalesce(submissions.c.answered_at, submissions.c.intended_at + deadline),
        run_of(submissions),
        submissions.c.address,
    )
    of_time = query.where(submissions.c.intended_at >= since, submissions.c.inputs.is_not(None), *which)
    newest = of_time.order_by(submissions.c.intended_at.desc()).limit(MOST)
    return [Sent(*row) for row in connection.execute(newest)]


MOST = 50_000
"""Submits that are read for one look, the newest: as many as rows of the history (``paging.MOST_ROWS``)."""


def note_missing(connection: Connection, runs: Iterable[str], at: datetime) -> None:
    """Remember that a history that was read whole did not list some runs."""
    connection.execute(update(submissions).where(submissions.c.run.in_(list(runs))).values(missed_at=at))
