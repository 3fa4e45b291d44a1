"""A submit in one statement, which commits by itself: an accepted job is taken, and the intent to pay for it written.

That is where nothing speaks against it. Else nothing is written, and it is looked at step by step what does (``turns``,
``lineage``, ``jobs``, ``work/intent``). What is to be sent is read before: the intent has its marks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Text,
    bindparam,
    exists,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
)

from worker.database.arrivals import OF_INPUT
from worker.database.binary import BINARY
from worker.database.due import is_due, is_suspect, said
from worker.database.jobs import has_slot, taken
from worker.database.lineage import Intended, is_sent
from worker.database.records import inputs, submissions
from worker.database.tables import SEEN, jobs
from worker.database.turns import is_first
from worker.rules.job import Body, InputFile, Job
from worker.rules.lifecycle import JobState, Ticket


@dataclass(frozen=True)
class Order:
    """A submit that a message asks for.

    ``needs_slot``: the request budget has chosen it, and it needs the slot that it drew. ``remembered`` is the submit
    that this process knows to be committed.
    """

    ticket: Ticket
    needs_slot: bool
    remembered: Intended | None

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
    rows = connection.execute(_reading(needs_slot=order.needs_slot), order.values).all()
    files = [InputFile(*row[: len(OF_INPUT)]) for row in rows]
    return Wanted(rows[0].parameters, files, rows[0].fingerprint) if rows else None


@cache
def _reading(*, needs_slot: bool) -> Select[Any]:
    query = select(*OF_INPUT, jobs.c.parameters, jobs.c.fingerprint).join(jobs, jobs.c.id == inputs.c.job_id)
    return query.where(*_nothing_against(needs_slot=needs_slot)).execution_options(**BINARY)


Intent = Mapping[str, Any]
"""The row of an intent, beside whose it is."""


def take(connection: Connection, order: Order, wanted: Wanted, intent: Intent, lease: timedelta) -> Job | None:
    """Take a job that was read, and write the intent to pay for it; None, and nothing, where anything is against that.

    So it is, beside what counted when it was read, where a run of these inputs may have been paid for a lost job, and
    where the job is another request's by now: the database was set back.
    """
    values = {f"post_{name}": value for name, value in intent.items()}
    its = {**order.values, **values, "lease": lease, "sent": intent["inputs"], "asked": wanted.fingerprint}
    row = connection.execute(_taking(needs_slot=order.needs_slot), its).mappings().first()
    return replace(Job.from_row(row), token=intent["token"], files=wanted.files) if row else None


@cache
def _taking(*, needs_slot: bool) -> Select[Any]:
    is_the_same = jobs.c.fingerprint == bindparam("asked", type_=Text)
    is_paid = exists().where(is_sent)
    becomes = {"state": literal(JobState.SUBMITTING, Text), "session": null()}
    which = (*_nothing_against(needs_slot=needs_slot), is_the_same, ~is_paid)
    job = taken().where(*which).values(becomes).returning(*SEEN).cte("job")
    return select(*job.c).add_cte(_post(job).cte("post"))


def _post(job: CTE) -> Insert:
    row = {name: bindparam(f"post_{name}", type_=submissions.c[name].type) for name in _OF_POST}
    return insert(submissions).from_select(["job_id", *row], select(job.c.id, *row.values()))


_OF_POST = ("token", "worker", "session", "is_addressed", "inputs_sha256", "inputs", "address", "is_inline")


def _nothing_against(*, needs_slot: bool) -> Sequence[ColumnElement[bool]]:
    """Tell that a job is due, that no other goes before it, and that the database has what this process remembers."""
    remembered = bindparam("remembered", type_=submissions.c.token.type)
    is_remembered = or_(remembered.is_(None), exists().where(submissions.c.token == remembered))
    is_chosen = has_slot if needs_slot else is_first
    return (*is_due, not_(is_suspect), not_(jobs.c.is_shared), is_remembered, is_chosen)
