"""Runs that jobs share: a row each, which is driven like a job's; and the jobs that wait for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, exists, func, insert, literal, select, text, update

from worker.database.arrivals import FREED
from worker.database.jobs import SEEN
from worker.database.records import outputs
from worker.database.tables import jobs, now
from worker.rules.job import Job
from worker.rules.lifecycle import JobState
from worker.rules.outcome import Learnt


@dataclass(frozen=True)
class Sharer:
    """A job that shares a run: its id, and its sender's metadata."""

    id: str
    metadata: Mapping[str, Any]


_sharers = jobs.alias("sharers")


def lock_key(connection: Connection, key: str) -> None:
    """Wait until no one else is about to share or to start a run of this key."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


def lock_run(connection: Connection, key: str) -> str | None:
    """Find the run of a key that goes on or whose files are there, and lock it, so that it can't end unseen."""
    its = (jobs.c.is_shared, jobs.c.share_key == key, jobs.c.state.not_in(FREED))
    return connection.execute(select(jobs.c.id).where(*its).with_for_update()).scalar()


def run(connection: Connection, run_id: str) -> Job:
    """Read the row of a run."""
    return Job.from_row(connection.execute(select(*SEEN).where(jobs.c.id == run_id)).mappings().one())


def has_room(connection: Connection, run_id: str, most: int) -> bool:
    """Tell whether a run goes on, with fewer jobs that share it than are told of its end at once; or has its files."""
    waiting = select(_sharers.c.id).where(_sharers.c.shares == jobs.c.id, _is_waiting(_sharers)).limit(most)
    count = select(func.count()).select_from(waiting.correlate(jobs).subquery()).scalar_subquery()
    query = select(jobs.c.state, count).where(jobs.c.id == run_id)
    state, sharing = connection.execute(query).one()
    return _has_files(connection, run_id) if state == JobState.SUCCEEDED else sharing < most


def _has_files(connection: Connection, run_id: str) -> bool:
    """Tell whether a run's files are kept still, and lock their rows: they are not pruned until they are copied."""
    its = (outputs.c.job_id == run_id, outputs.c.role == "output")
    found = connection.execute(select(outputs.c.id).where(*its).with_for_update(read=True, key_share=True)).first()
    return found is not None


def forget_key(connection: Connection, run_id: str) -> None:
    """Let the next equal request start a run of its own."""
    connection.execute(update(jobs).where(jobs.c.id == run_id).values(share_key=None))


def hurry(connection: Connection, run_id: str, priority: int) -> None:
    """Let a run go as soon as the most urgent of those who share it, also one whose submit may come back."""
    connection.execute(update(jobs).where(jobs.c.id == run_id, jobs.c.priority < priority).values(priority=priority))


def learnt(connection: Connection, run_id: str) -> Learnt:
    """Read what is known of a run that is told to those who share it; its cost, if that was told to nobody yet."""
    told = ("request_id", "error_code", "error_message", "missing", "cost")
    row = connection.execute(select(*(jobs.c[name] for name in told)).where(jobs.c.id == run_id)).mappings().one()
    return Learnt(**row)


def is_waited_for(connection: Connection, run_id: str) -> bool:
    """Tell whether a job waits for a run."""
    waits = exists().where(jobs.c.shares == run_id, _is_waiting(jobs))
    return bool(connection.execute(select(waits)).scalar())


def waiting(connection: Connection, run_id: str) -> Sequence[Sharer]:
    """List the jobs that wait for a run, those first that came first."""
    query = select(jobs.c.id, jobs.c.metadata).where(jobs.c.shares == run_id, _is_waiting(jobs))
    return [Sharer(*row) for row in connection.execute(query.order_by(jobs.c.accepted_at, jobs.c.id))]


def _is_waiting(table: Any) -> ColumnElement[bool]:
    return table.c.state == JobState.SHARING  # type: ignore[no-any-return]


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
    sharer = jobs.alias("sharer")
    taken = [column for column in outputs.columns if column.name not in {"id", "job_id", "stored_at"}]
    rows = select(sharer.c.id, *taken).join(outputs, outputs.c.job_id == sharer.c.shares).where(sharer.c.id.in_(ids))
    names = ["job_id", *(each.name for each in taken)]
    connection.execute(insert(outputs).from_select(names, rows.order_by(sharer.c.id, outputs.c.id)))


def lock_run_of(connection: Connection, job_id: str) -> None:
    """Lock the run that a job shares, if it does, before the job itself: in that order it is ended as well."""
    run_id = select(jobs.c.shares).where(jobs.c.id == job_id).scalar_subquery()
    connection.execute(select(jobs.c.id).where(jobs.c.id == run_id).with_for_update())
