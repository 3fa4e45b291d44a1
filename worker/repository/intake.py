"""A job's birth: its row and its files, or the job that is already there in its place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, String, case, exists, insert, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.job import InputFile
from worker.lifecycle import JobState
from worker.models import accounts, inputs, jobs, now


@dataclass(frozen=True)
class Existing:
    """The job that already has an identity or a key."""

    id: str
    state: JobState
    fingerprint: str
    metadata: Mapping[str, Any]


def add_job(connection: Connection, values: Mapping[str, Any], grace: timedelta) -> bool:
    """Add the row unless its identity or its key is taken; return whether it was added."""
    finished = {"finished_at": now} if JobState(values["state"]).is_final else {}
    row = upsert(jobs).values(sweep_at=now + grace, **finished, **values)
    added = row.on_conflict_do_nothing().returning(jobs.c.id)
    return connection.execute(added).scalar() is not None


def add_inputs(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add the files of a request."""
    connection.execute(insert(inputs), list(rows))


def find_existing(connection: Connection, job_id: str, idempotency_key: str | None) -> Existing | None:
    """Find the job that has this identity, else the one that has this key."""
    query = (
        select(jobs.c.id, jobs.c.state, jobs.c.fingerprint, jobs.c.metadata)
        .where((jobs.c.id == job_id) | (jobs.c.idempotency_key == literal(idempotency_key, String)))
        .order_by(case((jobs.c.id == job_id, 0), else_=1))
    )
    row = connection.execute(query).first()
    return Existing(row.id, JobState(row.state), row.fingerprint, row.metadata) if row else None


def is_account_held(connection: Connection, account: str) -> bool:
    """Tell whether jobs of the account have to wait as rows."""
    held = select(exists().where(accounts.c.name == account, accounts.c.held_at.is_not(None)))
    return bool(connection.execute(held).scalar())


def inputs_of(connection: Connection, job_id: str) -> list[InputFile]:
    """Read the files of a request."""
    query = select(inputs.c.name, inputs.c.url, inputs.c.content).where(inputs.c.job_id == job_id)
    return [InputFile(*row) for row in connection.execute(query)]
