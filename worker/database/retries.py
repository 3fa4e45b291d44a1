"""A job in the place of one that failed or was cancelled: what it takes over, and whether it may."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, insert, literal, or_, select

from worker.database.arrivals import Key
from worker.database.records import files_are_of, inputs, is_open, submissions
from worker.database.tables import jobs
from worker.rules.lifecycle import JobState, Verdict

_TAKEN_OVER = (
    jobs.c.account,
    jobs.c.source,
    jobs.c.correlation_id,
    jobs.c.idempotency_key,
    jobs.c.fingerprint,
    jobs.c.parameters,
    jobs.c.metadata,
    jobs.c.priority,
    jobs.c.share_key,
)


@dataclass(frozen=True)
class Ended:
    """A job that is to be retried, as it is now.

    ``is_shared``: it is a run that jobs share. ``is_paid``: it had a run that was charged; ``may_be_paid``: a submit of
    its has no answer that tells. ``gone`` names the files whose bytes are kept no more, ``successor`` is the job that
    is in its place already.
    """

    state: JobState
    values: Mapping[str, Any]
    is_shared: bool
    is_paid: bool
    may_be_paid: bool
    has_files: bool
    gone: tuple[str, ...]
    successor: str | None

    @property
    def key(self) -> Key | None:
        """Its idempotency key, if it has one."""
        name = self.values["idempotency_key"]
        return Key(self.values["source"] or "", name) if name else None


def lock(connection: Connection, job_id: str) -> Ended | None:
    """Lock a job and its files, so that of two who retry it one waits for the other, and read what a retry needs.

    Whoever only links to the job, as a new request of its key does, waits for nobody here.
    """
    seen = (jobs.c.state, jobs.c.is_shared, *_TAKEN_OVER, _owner.c.id.label("owner"), _is_paid, _may_be_paid)
    query = select(*seen).join(_owner, _owner.c.id == files_are_of).where(jobs.c.id == job_id)
    row = connection.execute(query.with_for_update(of=jobs, key_share=True)).mappings().first()
    if row is None:
        return None
    is_gone = inputs.c.url.is_(None) & inputs.c.content.is_(None) & inputs.c.location.is_(None)
    its = select(inputs.c.name, is_gone).where(inputs.c.job_id == row["owner"]).with_for_update()
    files = {str(name): bool(gone) for name, gone in connection.execute(its)}
    return Ended(
        JobState(row["state"]),
        {column.name: row[column.name] for column in _TAKEN_OVER},
        row["is_shared"],
        row["is_paid"],
        row["may_be_paid"],
        bool(files),
        tuple(name for name, gone in files.items() if gone),
        connection.execute(select(jobs.c.id).where(jobs.c.retry_of == job_id)).scalar(),
    )


_owner = jobs.alias("owner")
_has_run = exists().where(
    submissions.c.job_id == _owner.c.id, submissions.c.verdict.in_([Verdict.ACCEPTED, Verdict.ADOPTED])
)
# What the vendor itself ended as FAILED it did not charge.
_is_failed_there = _owner.c.remote_status.is_not_distinct_from("FAILED")
_is_paid = (or_(_owner.c.request_id.is_not(None), _has_run) & ~_is_failed_there).label("is_paid")
_may_be_paid = exists().where(submissions.c.job_id == _owner.c.id, is_open).label("may_be_paid")


def copy_inputs(connection: Connection, job_id: str, new_id: str) -> None:
    """Give a row the files of a job."""
    owner = select(files_are_of).where(jobs.c.id == job_id).scalar_subquery()
    taken = [column for column in inputs.columns if column is not inputs.c.job_id]
    rows = select(literal(new_id, inputs.c.job_id.type), *taken).where(inputs.c.job_id == owner)
    connection.execute(insert(inputs).from_select(["job_id", *(each.name for each in taken)], rows))
