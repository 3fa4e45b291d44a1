"""Runs that jobs share: a row each, which is driven like a job's; and the jobs that wait for one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, insert, literal, select, text, update

from worker.database.phases import Phase
from worker.database.records import outputs
from worker.database.tables import SEEN, jobs, now
from worker.rules.job import Job
from worker.rules.lifecycle import JobState
from worker.rules.outcome import Learnt


@dataclass(frozen=True)
class Sharer:
    """A job that shares a run: its id, and its sender's metadata."""

    id: str
    metadata: Mapping[str, Any]


def lock(connection: Connection, key: str) -> str | None:
    """Lock a key and then its run, if one goes on or has its files: it can't end unseen. Return the run.

    Everybody locks in this order, and jobs after the run that they share, as its end does.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})
    its = (jobs.c.is_shared, jobs.c.share_key == key, jobs.c.phase.is_not(None))
    return connection.execute(select(jobs.c.id).where(*its).with_for_update()).scalar()


def lock_of(connection: Connection, job_id: str) -> None:
    """Lock the key of a job that shares a run, and then that run; nothing of one that does not."""
    row = connection.execute(select(jobs.c.share_key, jobs.c.shares).where(jobs.c.id == job_id)).first()
    if row and row.share_key:
        lock(connection, row.share_key)
        connection.execute(select(jobs.c.id).where(jobs.c.id == row.shares).with_for_update())


def run(connection: Connection, run_id: str) -> Job:
    """Read the row of a run."""
    return Job.from_row(connection.execute(select(*SEEN).where(jobs.c.id == run_id)).mappings().one())


def close(connection: Connection, run_ids: Iterable[str]) -> None:
    """Let nobody share these runs any more who does not yet; a job that is no shared run stays as it is."""
    its = (jobs.c.id.in_(list(run_ids)), jobs.c.is_shared)
    connection.execute(update(jobs).where(*its).values(share_key=None))


def hurry(connection: Connection, run_id: str, priority: int) -> None:
    """Let a run go as soon as the most urgent of those who share it, also one whose submit may come back."""
    connection.execute(update(jobs).where(jobs.c.id == run_id, jobs.c.priority < priority).values(priority=priority))


def learnt(connection: Connection, run_id: str) -> Learnt:
    """Read what is known of a run that is told to those who share it; its cost, if that was told to nobody yet."""
    told = ("request_id", "error_code", "error_message", "missing", "cost")
    row = connection.execute(select(*(jobs.c[name] for name in told)).where(jobs.c.id == run_id)).mappings().one()
    return Learnt(**row)


def count_waiting(connection: Connection, run_id: str) -> int:
    """Count the jobs that wait for a run."""
    return connection.execute(select(func.count()).where(*_waits_for(run_id))).scalar_one()


def waiting(connection: Connection, run_id: str) -> Sequence[Sharer]:
    """List the jobs that wait for a run, those first that came first."""
    query = select(jobs.c.id, jobs.c.metadata).where(*_waits_for(run_id))
    return [Sharer(*row) for row in connection.execute(query.order_by(jobs.c.accepted_at, jobs.c.id))]


def _waits_for(run_id: str) -> Sequence[ColumnElement[bool]]:
    return jobs.c.shares == run_id, jobs.c.phase == Phase.LATER, jobs.c.state == JobState.SHARING


def untold(connection: Connection, limit: int) -> Sequence[Job]:
    """Lock runs that are over while jobs wait for them still: whoever ended them knows nothing of sharing."""
    waits = (_sharer.c.phase == Phase.LATER, _sharer.c.state == JobState.SHARING, _sharer.c.sweep_at <= now)
    chosen = select(_sharer.c.shares).where(*waits).distinct()
    waited_for = chosen.cte("waited_for").prefix_with("MATERIALIZED")  # They are few, all jobs are many.
    its = jobs.c.state.in_([state for state in JobState if state.is_final])
    query = select(*SEEN).join(waited_for, waited_for.c.shares == jobs.c.id).where(its).limit(limit)
    rows = connection.execute(query.with_for_update(skip_locked=True, of=jobs)).mappings()
    return [Job.from_row(row) for row in rows]


_sharer = jobs.alias("sharer")
_TAKEN_OVER = ("state", "error_code", "error_message", "missing", "remote_status", "completed_at")


def end(connection: Connection, run_id: str, sharers: Sequence[Sharer], payer: str | None) -> None:
    """End jobs as the run ended that they share, and give them its files; its cost is the ``payer``'s from then on."""
    ids = [each.id for each in sharers]
    run = jobs.alias("run")
    taken = {name: run.c[name] for name in _TAKEN_OVER}
    cost = case((jobs.c.id == literal(payer, jobs.c.id.type), run.c.cost), else_=0)
    its = (run.c.id == run_id, jobs.c.shares == run.c.id, jobs.c.id.in_(ids))
    values = {**taken, "cost": cost, "version": jobs.c.version + 1, "finished_at": now, "waits_for": None}
    connection.execute(update(jobs).where(*its).values(**values))
    if payer:
        connection.execute(update(jobs).where(jobs.c.id == run_id).values(cost=None))
    _copy_outputs(connection, ids)


def _copy_outputs(connection: Connection, ids: Sequence[str]) -> None:
    """Give jobs the files of the run that they share; their bytes are kept once."""
    taken = [column for column in outputs.columns if column.name not in {"id", "job_id", "stored_at"}]
    rows = select(_sharer.c.id, *taken).join(outputs, outputs.c.job_id == _sharer.c.shares).where(_sharer.c.id.in_(ids))
    names = ["job_id", *(each.name for each in taken)]
    connection.execute(insert(outputs).from_select(names, rows.order_by(_sharer.c.id, outputs.c.id)))
