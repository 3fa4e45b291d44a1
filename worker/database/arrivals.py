"""A job's birth: its row and its files, or the job that is already there in its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Connection,
    Executable,
    Insert,
    Interval,
    Select,
    Update,
    and_,
    bindparam,
    case,
    exists,
    false,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert

from worker.database.binary import BINARY
from worker.database.records import inputs
from worker.database.tables import accounts, jobs, now
from worker.rules.job import InputFile
from worker.rules.lifecycle import JobState


class Key(NamedTuple):
    """An idempotency key, which is its source's own."""

    source: str
    name: str


@dataclass(frozen=True)
class Existing:
    """The job that already has an identity or a key; ``reached``: its state, or that of the run that it waits for."""

    id: str
    state: JobState
    reached: JobState
    fingerprint: str
    metadata: Mapping[str, Any]
    source: str | None
    is_shared: bool  # It is a run that jobs share, and nobody's request.


def add_job(connection: Connection, values: Mapping[str, Any], grace: timedelta) -> bool:
    """Add the row unless its identity or its key is taken; return whether it was added."""
    adding = _adding(is_over=JobState(values["state"]).is_final)
    return connection.execute(adding, {"grace": grace, **values}).scalar() is not None


@cache
def _adding(*, is_over: bool) -> ReturningInsert[str]:
    finished = {"finished_at": now} if is_over else {}
    row = upsert(jobs).values(sweep_at=now + bindparam("grace", type_=Interval), **finished)
    return row.on_conflict_do_nothing().returning(jobs.c.id)


def add_inputs(connection: Connection, job_id: str, files: Sequence[Mapping[str, Any]]) -> None:
    """Add the files of a request."""
    connection.execute(_adding_inputs(), [{"job_id": job_id, **file} for file in files])


@cache
def _adding_inputs() -> Insert:
    return insert(inputs)


def find_existing(connection: Connection, job_id: str, key: Key | None, body_id: str | None = None) -> Existing | None:
    """Find the job that has this identity, else the one that has this key and has neither failed nor been cancelled."""
    named = {"key": key.name, "source": key.source} if key else {}
    row = connection.execute(_existing(has_key=bool(key)), {"job": job_id, "body": body_id, **named}).first()
    return Existing(row[0], JobState(row[1]), JobState(row[2]), *row[3:]) if row else None


@cache
def _existing(*, has_key: bool) -> Executable:
    is_same = or_(jobs.c.id == bindparam("job"), jobs.c.body_id == bindparam("body"))
    has_its_key = and_(is_of_key(), jobs.c.state.not_in(FREED)) if has_key else false()
    return (
        select(jobs.c.id, jobs.c.state, _reached, jobs.c.fingerprint, jobs.c.metadata, jobs.c.source, jobs.c.is_shared)
        .where(or_(is_same, has_its_key))
        .order_by(case((is_same, 0), else_=1))
    )


_run = jobs.alias("run")
_of_run = select(_run.c.state).where(_run.c.id == jobs.c.shares).scalar_subquery()
_reached = case((jobs.c.state == JobState.SHARING, _of_run), else_=jobs.c.state)


FREED = [JobState.FAILED, JobState.CANCELLED]
"""The states in which a job gives its idempotency key back; the same as in the index that makes keys unique."""


def is_of_key() -> ColumnElement[bool]:
    """Tell a key from those of other sources; one from before sources were asked after may be anybody's."""
    is_own = or_(jobs.c.source == bindparam("source"), jobs.c.source.is_(None))
    return and_(jobs.c.idempotency_key == bindparam("key"), is_own)


def is_everybodys(connection: Connection, key: Key) -> bool:
    """Tell whether a job has this key that was accepted before sources were asked after."""
    return bool(connection.execute(_is_everybodys(), {"key": key.name}).scalar())


@cache
def _is_everybodys() -> Select[bool]:
    has_key = (jobs.c.idempotency_key == bindparam("key"), jobs.c.source.is_(None), jobs.c.state.not_in(FREED))
    return select(exists().where(*has_key))


def last_of_key(connection: Connection, key: Key) -> str | None:
    """Find the failed or cancelled job of a key that no other job took the place of; it is not deleted meanwhile."""
    return connection.execute(_last_of_key(), {"key": key.name, "source": key.source}).scalar()


@cache
def _last_of_key() -> Select[str]:
    later = jobs.alias()
    query = select(jobs.c.id).where(
        is_of_key(),
        jobs.c.state.in_(FREED),
        ~exists().where(later.c.retry_of == jobs.c.id),
    )
    return query.order_by(jobs.c.accepted_at.desc()).limit(1).with_for_update(read=True, key_share=True)


def id_for_body(connection: Connection, body_id: str, counts_for: timedelta, *, is_sent_anew: bool) -> str:
    """Return the id of a job that is known by its body: an older job of it gives it up once that time is over.

    One that ended without success gives it up at once to a request that is known to be sent anew. Who comes at the same
    time waits here for the other, and then finds its job.
    """
    known = {"body": body_id, "counts_for": counts_for, "is_sent_anew": is_sent_anew}
    connection.execute(_giving_up(), known)
    return str(uuid4()) if connection.execute(_is_used(), known).scalar() else body_id


@cache
def _giving_up() -> Update:
    return update(jobs).where(jobs.c.body_id == bindparam("body"), _is_over()).values(body_id=None)


@cache
def _is_used() -> Select[bool]:
    return select(exists().where(jobs.c.id == bindparam("body"), _is_over()))


def _is_over() -> ColumnElement[bool]:
    is_freed = and_(bindparam("is_sent_anew", type_=Boolean), jobs.c.state.in_(FREED))
    return or_(jobs.c.accepted_at <= now - bindparam("counts_for", type_=Interval), is_freed)


def is_account_held(connection: Connection, account: str) -> bool:
    """Tell whether jobs of the account have to wait as rows."""
    return bool(connection.execute(_is_held(), {"account": account}).scalar())


@cache
def _is_held() -> Select[bool]:
    return select(is_held(bindparam("account")))


def is_held(account: BindParameter[str]) -> ColumnElement[bool]:
    """Tell whether an account's jobs have to wait."""
    has_stopped = or_(accounts.c.held_at.is_not(None), accounts.c.paused_at.is_not(None))
    return exists().where(accounts.c.name == account, has_stopped)


def inputs_of(connection: Connection, job_id: str) -> list[InputFile]:
    """Read the files of a request."""
    return [InputFile(*row) for row in connection.execute(_its_inputs(), {"job": job_id})]


OF_INPUT = (inputs.c.name, inputs.c.url, inputs.c.content, inputs.c.location, inputs.c.place, inputs.c.bytes)
"""What an :class:`InputFile` is made of."""


@cache
def _its_inputs() -> Select[Any]:
    return select(*OF_INPUT).where(inputs.c.job_id == bindparam("job")).execution_options(**BINARY)
