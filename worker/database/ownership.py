"""Which submit has which run: a run is one POST's, and whoever is answered with another's has none.

A job's run is always that of a submit of its: the database writes one for it where none is (``sam3d_own_run``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Update,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from worker.database.records import submissions
from worker.database.submissions import Answered, run_of, written
from worker.database.tables import now
from worker.rules.lifecycle import Verdict
from worker.rules.request_id import canonical_id


def claim(connection: Connection, token: str | None, what: Answered) -> bool:
    """Write which run a POST has started, and its answer; return False where the ledger knows that run already.

    Whoever has it, or was told it and gave it back: then only that it was told is written. The database refuses it
    (``uq_submissions_run``, ``sam3d_known_run``), so that of two that write at once one gets through.
    """
    its = claim_of(what)
    try:
        with connection.begin_nested():
            connection.execute(_answering(), {"post": token, **its})
    except IntegrityError:
        connection.execute(_of_post(), {"post": token, "told": its["told"]})
        return False
    return True


def claim_of(what: Answered) -> dict[str, Any]:
    """Return what the row of a POST says that was answered with a run, beside when."""
    run = canonical_id(what.request_id or "")
    return {"run": run, "told": run, **written(what)}


CLAIMED = tuple(claim_of(Answered(Verdict.ACCEPTED)))
"""The columns of that."""


@cache
def _answering() -> Update:
    return _of_post().values(answered_at=now)


@cache
def _of_post() -> Update:
    return update(submissions).where(submissions.c.token == bindparam("post"))


@dataclass(frozen=True)
class Holder:
    """The submit that has a run which another was answered with as well; ``is_alike``: they sent the same."""

    job_id: str
    verdict: Verdict
    intended_at: datetime
    answered_at: datetime | None
    observed_at: datetime
    is_alike: bool


def holder_of(connection: Connection, token: str | None, request_id: str) -> Holder | None:
    """Find the submit, but the one named, that has a run."""
    own = select(submissions.c.inputs_sha256).where(submissions.c.token == token).scalar_subquery()
    shown = (
        submissions.c.job_id,
        submissions.c.verdict,
        submissions.c.intended_at,
        submissions.c.answered_at,
        now.label("observed_at"),
        func.coalesce(submissions.c.inputs_sha256 == own, literal(value=False)).label("is_alike"),
    )
    has_it = (have([canonical_id(request_id)]), submissions.c.token.is_distinct_from(token))
    row = connection.execute(select(*shown).where(*has_it).limit(1)).mappings().first()
    return Holder(**{**row, "verdict": Verdict(row["verdict"])}) if row else None


def have(runs: Sequence[str | BindParameter[str]]) -> ColumnElement[bool]:
    """Tell whether a submit has one of some runs. One of an early release has its in the vendor's writing alone."""
    is_unwritten = and_(submissions.c.run.is_(None), submissions.c.request_id.is_not(None))
    return or_(
        and_(submissions.c.run.in_(runs), submissions.c.request_id.is_not(None)),
        and_(is_unwritten, run_of(submissions).in_(runs)),
    )


def give_back(connection: Connection, run: str, why: str) -> None:
    """Take back which run a POST was answered with: it is another's, and its own is not known."""
    given_back = update(submissions).where(submissions.c.run == run)
    connection.execute(given_back.values(verdict=Verdict.UNKNOWN, run=None, told=run, request_id=None, detail=why))


def claimed(connection: Connection, runs: Iterable[str]) -> frozenset[str]:
    """Return those of some runs that a job or a submit has."""
    has = select(run_of(submissions)).where(have(list(runs)))
    return frozenset(connection.execute(has).scalars())


def is_claimed(connection: Connection, request_id: str, job_id: str) -> bool:
    """Tell whether another job has this run."""
    another = exists().where(have([canonical_id(request_id)]), submissions.c.job_id != job_id)
    return bool(connection.execute(select(another)).scalar())
