"""A job's birth in one statement, which commits by itself, where nobody had its identity or its key before.

Else nothing is written, and it is looked at step by step who had them (``arrivals``, ``work/begin``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    Insert,
    Interval,
    Select,
    Text,
    bindparam,
    case,
    exists,
    false,
    insert,
    literal,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert

from worker.database.arrivals import is_held, is_of_key
from worker.database.outbox import TOLD, Event, event_of, id_of_now
from worker.database.records import events, inputs
from worker.database.slots import WAITS, are_waiting
from worker.database.tables import jobs, now
from worker.rules.lifecycle import EventType, JobState


@dataclass(frozen=True)
class Newborn:
    """A request that makes a run of its own: its row, those of its files, and what is told of it.

    ``is_limited``: it waits behind those that wait for the request budget.
    """

    values: Mapping[str, Any] = field(repr=False)
    files: Sequence[Mapping[str, Any]] = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)
    is_limited: bool


class Born(NamedTuple):
    """The event of a job that was written, and whether the job waits as a row: for its account, or for the budget."""

    event: Event
    waits: bool


def add(connection: Connection, what: Newborn, account: str, grace: timedelta) -> Born | None:
    """Write a job with its files and its event; None, and nothing, where a job has its identity or ever had its key."""
    key = what.values["idempotency_key"]
    own = {f"own_{name}": what.values[name] for name in _OWN}
    files = {f"{name}_{number}": each[name] for number, each in enumerate(what.files) for name in _OF_FILE}
    its = {**own, **files, "source": what.values["source"], "payload": what.payload, "payer": account, "grace": grace}
    named = {"key": key} if key else {}
    statement = _adding(len(what.files), has_key=bool(key), is_limited=what.is_limited)
    row = connection.execute(statement, {**its, **named}).first()
    return Born(event_of(row), row.waits) if row else None


_OWN = ("id", "correlation_id", "fingerprint", "parameters", "metadata", "priority")
_OF_FILE = tuple(column.name for column in inputs.columns if column is not inputs.c.job_id)


@cache
def _adding(files: int, *, has_key: bool, is_limited: bool) -> Select[Any]:
    job = _row(has_key=has_key, is_limited=is_limited).cte("job")
    its_files = [_file(job, number).cte(f"file_{number}") for number in range(files)]
    told = _event(job).cte("told")
    waits = or_(job.c.waits_for.is_not(None), is_held(bindparam("payer"))).label("waits")
    return select(*told.c, waits).select_from(told.join(job, true())).add_cte(*its_files)


def _row(*, has_key: bool, is_limited: bool) -> ReturningInsert[Any]:
    """Write the job, unless a job has its identity or had its key; behind those that wait for the budget it waits."""
    behind = select((are_waiting(bindparam("payer")) if is_limited else false()).label("others")).subquery("behind")
    grace = bindparam("grace", type_=Interval)
    row = {
        **{name: _given(jobs.c[name], f"own_{name}") for name in _OWN},
        "source": _given(jobs.c.source, "source"),
        "idempotency_key": _given(jobs.c.idempotency_key, "key") if has_key else null(),
        "state": literal(JobState.ACCEPTED, Text),
        "waits_for": case((behind.c.others, WAITS)),
        "sweep_at": case((behind.c.others, now), else_=now + grace),
    }
    is_new = ~exists().where(is_of_key()) if has_key else true()
    new = upsert(jobs).from_select(list(row), select(*row.values()).select_from(behind).where(is_new))
    return new.on_conflict_do_nothing().returning(jobs.c.id, jobs.c.correlation_id, jobs.c.waits_for)


def _file(job: CTE, number: int) -> Insert:
    row = {name: _given(inputs.c[name], f"{name}_{number}") for name in _OF_FILE}
    return insert(inputs).from_select(["job_id", *row], select(job.c.id, *row.values()))


def _event(job: CTE) -> ReturningInsert[Any]:
    payload, kind = _given(events.c.payload, "payload"), literal(EventType.ACCEPTED, Text)
    row = {
        "id": id_of_now,
        "job_id": job.c.id,
        "type": kind,
        "payload": payload,
        "correlation_id": job.c.correlation_id,
    }
    return insert(events).from_select(list(row), select(*row.values())).returning(*TOLD)


def _given(column: Column[Any], name: str) -> ColumnElement[Any]:
    """Return a parameter of its column's type: what is selected has none of its own."""
    return bindparam(name, type_=column.type)
