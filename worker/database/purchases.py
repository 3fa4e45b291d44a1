"""A submit in one statement, which commits by itself: an accepted job is taken, and the intent to pay for it written.

Where requests are limited and nobody waits for a slot, its slot is drawn as well.

That is where nothing speaks against it. Else nothing is written, and it is looked at step by step what does (``turns``,
``lineage``, ``jobs``, ``work/intent``). What is to be sent is read before: the intent has its marks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum, auto
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    exists,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy.sql.dml import ReturningUpdate

from worker.database import idle_slots
from worker.database.arrivals import OF_INPUT
from worker.database.binary import BINARY
from worker.database.due import is_due, is_suspect, said
from worker.database.jobs import has_slot, taken
from worker.database.lineage import Intended, is_sent
from worker.database.records import inputs, submissions
from worker.database.slots import has_no_slot
from worker.database.tables import SEEN, accounts, jobs
from worker.database.turns import is_first
from worker.rules.budget import Margin
from worker.rules.job import Body, InputFile, Job
from worker.rules.lifecycle import JobState, Ticket


class Permit(Enum):
    """What lets a submit go."""

    TURN = auto()
    """Nobody more important waits; nothing limits requests."""
    SLOT = auto()
    """The slot of the request budget that it drew: the budget has chosen it."""
    NEXT_SLOT = auto()
    """The next slot, which nobody waits for: it is drawn as the job is taken."""


@dataclass(frozen=True)
class Order:
    """A submit that a message asks for, and by what it may go.

    ``remembered`` is the submit that this process knows to be committed, ``drawing`` what a slot is drawn by.
    """

    ticket: Ticket
    permit: Permit
    remembered: Intended | None
    drawing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """The parameters that tell which job it is, and what has to be there."""
        token = self.remembered.token if self.remembered else None
        return {**said(self.ticket, JobState.ACCEPTED), "remembered": token}


@dataclass(frozen=True)
class Wanted(Body):
    """What an accepted job is to send, with the mark of its request: that stays the same as long as its row lives."""

    parameters: Mapping[str, Any] = field(repr=False)
    files: Sequence[InputFile] = field(repr=False)
    fingerprint: str


def read(connection: Connection, order: Order) -> Wanted | None:
    """Read what an accepted job is to send; None where something speaks against that."""
    rows = connection.execute(_reading(order.permit), order.values).all()
    files = [InputFile(*row[: len(OF_INPUT)]) for row in rows]
    return Wanted(rows[0].parameters, files, rows[0].fingerprint) if rows else None


@cache
def _reading(permit: Permit) -> Select[Any]:
    query = select(*OF_INPUT, jobs.c.parameters, jobs.c.fingerprint).join(jobs, jobs.c.id == inputs.c.job_id)
    return query.where(*_nothing_against(permit)).execution_options(**BINARY)


class Bought(NamedTuple):
    """A job whose intent is committed, and the margin that was counted for its slot, if it was."""

    job: Job
    margin: Margin | None


Intent = Mapping[str, Any]
"""The row of an intent, beside whose it is."""


def take(connection: Connection, order: Order, wanted: Wanted, intent: Intent, lease: timedelta) -> Bought | None:
    """Take a job that was read, and write the intent to pay for it; None, and nothing, where anything is against that.

    So it is, beside what counted when it was read, where a run of these inputs may have been paid for a lost job, and
    where the job is another request's by now: the database was set back.
    """
    values = {f"post_{name}": value for name, value in intent.items()}
    its = {**order.values, **order.drawing, **values, "lease": lease}
    its |= {"sent": intent["inputs"], "asked": wanted.fingerprint}
    row = connection.execute(_taking(order.permit), its).mappings().first()
    if row is None:
        return None
    margin = Margin(row["begins_at"], row["ends_at"]) if row.get("begins_at") and row["ends_at"] else None
    return Bought(replace(Job.from_row(row), token=intent["token"], files=wanted.files), margin)


@cache
def _taking(permit: Permit) -> Select[Any]:
    is_the_same = jobs.c.fingerprint == bindparam("asked", type_=Text)
    is_paid = exists().where(is_sent)
    which = (*_nothing_against(permit), is_the_same, ~is_paid)
    if permit is not Permit.NEXT_SLOT:
        return _bought(_becoming().where(*which).returning(*SEEN))
    due = select(jobs.c.id, jobs.c.account).where(*which).with_for_update().cte("due")
    drawn = idle_slots.drawn_for_submit(due)
    job = _becoming().where(jobs.c.id == drawn.c.id).returning(*SEEN, *idle_slots.margin_after(drawn))
    return _bought(job).add_cte(idle_slots.counted(drawn))


def _becoming() -> Update:
    return taken().values(state=literal(JobState.SUBMITTING, Text), session=null())


def _bought(becoming: ReturningUpdate[Any]) -> Select[Any]:
    job = becoming.cte("job")
    return select(*job.c).add_cte(_post(job).cte("post"))


def _post(job: CTE) -> Insert:
    row = {name: bindparam(f"post_{name}", type_=submissions.c[name].type) for name in _OF_POST}
    return insert(submissions).from_select(["job_id", *row], select(job.c.id, *row.values()))


_OF_POST = ("token", "worker", "session", "is_addressed", "inputs_sha256", "inputs", "address", "is_inline")


def _nothing_against(permit: Permit) -> Sequence[ColumnElement[bool]]:
    """Tell that a job is due, that it may go, and that the database has what this process remembers."""
    remembered = bindparam("remembered", type_=submissions.c.token.type)
    is_remembered = or_(remembered.is_(None), exists().where(submissions.c.token == remembered))
    return (*is_due, not_(is_suspect), not_(jobs.c.is_shared), is_remembered, _LETS_GO[permit])


_LETS_GO = {
    Permit.TURN: is_first,
    Permit.SLOT: has_slot,
    # Without a lock: where it is so no more as the job is taken, nothing is drawn.
    Permit.NEXT_SLOT: and_(has_no_slot, exists().where(accounts.c.name == jobs.c.account, idle_slots.is_idle)),
}
