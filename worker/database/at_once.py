"""A job's change with all that goes with it, in one statement, which commits by itself: whole, or not at all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Executable,
    Table,
    bindparam,
    column,
    exists,
    func,
    insert,
    not_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import ReturningUpdate

from worker.database.due import is_in_trouble
from worker.database.files import FACTS, facts_of
from worker.database.jobs import FREE, changing, stamp_of, values_of
from worker.database.outbox import Event
from worker.database.ownership import CLAIMED, claim_of
from worker.database.records import events, outputs, submissions
from worker.database.submissions import Answered
from worker.database.tables import jobs, now
from worker.rules.job import Job
from worker.rules.lifecycle import EventType
from worker.rules.outcome import Change


@dataclass(frozen=True)
class Whole:
    """A change of a job, the event that tells of it, and the answer to the job's submit, if it comes of one."""

    job: Job
    change: Change
    grace: timedelta
    event: EventType
    payload: Mapping[str, Any] = field(repr=False)
    answer: Answered | None = None


class Written(NamedTuple):
    """The new version of a job, and its event."""

    version: int
    event: Event


def write(connection: Connection, what: Whole) -> Written | None:
    """Write a change with its files, its event and its answer; return None where that may not be: nothing is written.

    So it is where somebody wrote since the job was taken; where its submit is lost, or is answered; where the ledger
    knows the run of another; where the job has files already; where what was learnt may tell of an account in trouble.
    """
    its = {**values_of(what.job.state, what.change), **FREE}
    due_in = its.pop("due_in")
    values = {"job": what.job.id, "seen": what.job.version, "due_in": due_in, "grace": what.grace}
    values |= {"type": what.event, "payload": what.payload, **_named("job", its), **_beside(what)}
    try:
        row = connection.execute(_writing(_form(what, tuple(its))), values).one_or_none()
    except IntegrityError:
        return None
    if row is None:
        return None
    return Written(
        row.version, Event(row.id, what.job.id, what.event, row.payload, row.occurred_at, row.correlation_id)
    )


def _beside(what: Whole) -> dict[str, Any]:
    """Return the parameters of what is written beside the job and its event."""
    files, answer = what.change.files, what.answer
    made = {"files": [facts_of(file) for file in files]} if files else {}
    return made | ({"post": what.job.token, **_named("post", claim_of(answer))} if answer else {})


def _named(whose: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters for the columns of a table: another in the statement has columns of the same names."""
    return {f"{whose}_{name}": value for name, value in values.items()}


class _Form(NamedTuple):
    """What the statement depends on: which columns are written, and what goes with the job."""

    columns: tuple[str, ...]
    stamped: str | None
    tells_of_account: bool
    has_answer: bool
    has_files: bool


def _form(what: Whole, columns: tuple[str, ...]) -> _Form:
    change, stamped = what.change, stamp_of(what.job.state, what.change)
    return _Form(columns, stamped, change.learnt.tells_of_account, what.answer is not None, bool(change.files))


@cache
def _writing(form: _Form) -> Executable:
    """Write the job first, and all else of its row: where that is not written nothing is."""
    job = _changed(form).cte("job")
    told = _telling(job)
    beside = [*([_answering(job)] if form.has_answer else []), *([_keeping(job)] if form.has_files else [])]
    seen = (job.c.version, told.c.id, told.c.occurred_at, told.c.payload, told.c.correlation_id)
    return select(*seen).join_from(job, told, told.c.job_id == job.c.id).add_cte(*beside)


def _changed(form: _Form) -> ReturningUpdate[str, int, str | None]:
    which = [jobs.c.id == bindparam("job"), jobs.c.version == bindparam("seen")]
    which += [not_(is_in_trouble)] if form.tells_of_account else []
    which += [_is_open() if form.has_answer else ~exists().where(outputs.c.job_id == jobs.c.id)]
    written = changing(form.stamped).where(*which).values(_set(jobs, "job", form.columns))
    return written.returning(jobs.c.id, jobs.c.version, jobs.c.correlation_id)


def _is_open() -> ColumnElement[bool]:
    """Tell whether the submit is there, and nobody has said yet what came of it."""
    its = (submissions.c.token == bindparam("post"), submissions.c.job_id == jobs.c.id)
    return exists().where(*its, submissions.c.verdict.is_(None))


def _answering(job: CTE) -> CTE:
    """Answer the submit whatever is said of it by now, as a late answer does: its row can't go without its job's."""
    its = (submissions.c.token == bindparam("post"), submissions.c.job_id == job.c.id)
    written = update(submissions).where(*its).values(answered_at=now, **_set(submissions, "post", CLAIMED))
    return written.returning(submissions.c.token).cte("post")


def _keeping(job: CTE) -> CTE:
    """Keep the files in the order in which they are given."""
    listed = func.jsonb_to_recordset(bindparam("files", type_=JSONB))
    file = listed.table_valued(*(column(name, outputs.c[name].type) for name in FACTS))
    made = file.render_derived(name="file", with_types=True)
    rows = select(job.c.id, *(made.c[name] for name in FACTS)).join_from(job, made, true())
    return insert(outputs).from_select(["job_id", *FACTS], rows).returning(outputs.c.id).cte("files")


def _telling(job: CTE) -> CTE:
    row = {
        "id": func.sam3d_event_id(now),
        "job_id": job.c.id,
        "type": bindparam("type", type_=events.c.type.type),
        "payload": bindparam("payload", type_=events.c.payload.type),
        "correlation_id": job.c.correlation_id,
    }
    seen = (events.c[name] for name in (*row, "occurred_at"))
    return insert(events).from_select(list(row), select(*row.values())).returning(*seen).cte("told")


def _set(table: Table, whose: str, columns: Iterable[str]) -> dict[str, ColumnElement[Any]]:
    return {name: bindparam(f"{whose}_{name}", type_=table.c[name].type) for name in columns}
