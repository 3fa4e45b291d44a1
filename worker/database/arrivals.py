"""A job's birth: its row and its files, or the job that is already there in its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Uuid, and_, case, exists, false, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

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
    finished = {"finished_at": now} if JobState(values["state"]).is_final else {}
    row = upsert(jobs).values(sweep_at=now + grace, **finished, **values)
    added = row.on_conflict_do_nothing().returning(jobs.c.id)
    return connection.execute(added).scalar() is not None


def add_inputs(connection: Connection, job_id: str, files: Sequence[Mapping[str, Any]]) -> None:
    """Add the files of a request."""
    connection.execute(insert(inputs), [{"job_id": job_id, **file} for file in files])


def find_existing(connection: Connection, job_id: str, key: Key | None, body_id: str | None = None) -> Existing | None:
    """Find the job that has this identity, else the one that has this key and has neither failed nor been cancelled."""
    is_same = or_(jobs.c.id == job_id, jobs.c.body_id == literal(body_id, Uuid(as_uuid=False)))
    has_key = and_(_is_key(key), jobs.c.state.not_in(FREED)) if key else false()
    query = (
        select(jobs.c.id, jobs.c.state, _reached, jobs.c.fingerprint, jobs.c.metadata, jobs.c.source, jobs.c.is_shared)
        .where(or_(is_same, has_key))
        .order_by(case((is_same, 0), else_=1))
    )
    row = connection.execute(query).first()
    return Existing(row[0], JobState(row[1]), JobState(row[2]), *row[3:]) if row else None


_run = jobs.alias("run")
_of_run = select(_run.c.state).where(_run.c.id == jobs.c.shares).scalar_subquery()
_reached = case((jobs.c.state == JobState.SHARING, _of_run), else_=jobs.c.state)


FREED = [JobState.FAILED, JobState.CANCELLED]
"""The states in which a job gives its idempotency key back; the same as in the index that makes keys unique."""


def _is_key(key: Key) -> ColumnElement[bool]:
    """Tell a key from those of other sources; one from before sources were asked after may be anybody's."""
    return and_(jobs.c.idempotency_key == key.name, or_(jobs.c.source == key.source, jobs.c.source.is_(None)))


def is_everybodys(connection: Connection, key: Key) -> bool:
    """Tell whether a job has this key that was accepted before sources were asked after."""
    is_pinned = and_(jobs.c.idempotency_key == key.name, jobs.c.source.is_(None), jobs.c.state.not_in(FREED))
    return bool(connection.execute(select(exists().where(is_pinned))).scalar())


def last_of_key(connection: Connection, key: Key) -> str | None:
    """Find the failed or cancelled job of a key that no other job took the place of; it is not deleted meanwhile."""
    later = jobs.alias()
    query = select(jobs.c.id).where(
        _is_key(key),
        jobs.c.state.in_(FREED),
        ~exists().where(later.c.retry_of == jobs.c.id),
    )
    last = query.order_by(jobs.c.accepted_at.desc()).limit(1).with_for_update(read=True, key_share=True)
    return connection.execute(last).scalar()


def id_for_body(connection: Connection, body_id: str, counts_for: timedelta, *, is_sent_anew: bool) -> str:
    """Return the id of a job that is known by its body: an older job of it gives it up once that time is over.

    One that ended without success gives it up at once to a request that is known to be sent anew. Who comes at the same
    time waits here for the other, and then finds its job.
    """
    is_over = or_(jobs.c.accepted_at <= now - counts_for, and_(literal(is_sent_anew), jobs.c.state.in_(FREED)))
    connection.execute(update(jobs).where(jobs.c.body_id == body_id, is_over).values(body_id=None))
    is_used = connection.execute(select(exists().where(jobs.c.id == body_id, is_over))).scalar()
    return str(uuid4()) if is_used else body_id


def is_account_held(connection: Connection, account: str) -> bool:
    """Tell whether jobs of the account have to wait as rows."""
    is_held = or_(accounts.c.held_at.is_not(None), accounts.c.paused_at.is_not(None))
    return bool(connection.execute(select(exists().where(accounts.c.name == account, is_held))).scalar())


_INPUTS = "SELECT name, url, content, location, place, bytes FROM inputs WHERE job_id = %s"


def inputs_of(connection: Connection, job_id: str) -> list[InputFile]:
    """Read the files of a request, in the driver's binary form: as text a photo comes as digits, twice as long."""
    driver: Any = connection.connection.driver_connection
    with driver.cursor(binary=True) as cursor:
        rows = cursor.execute(_INPUTS, [job_id])
        return [InputFile(*row) for row in rows]
