"""Whether a job's next step is due: its own time, its account, the request limit."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, and_, bindparam, exists, not_, or_, select

from worker.database.tables import accounts, incarnation, jobs, now
from worker.rules.lifecycle import JobState, Ticket
from worker.rules.retry import JUST_OPENED
from worker.rules.standing import SUSPECT

SLACK = timedelta(milliseconds=250)
"""A message that comes this early counts as on time: another wait would be a whole second."""

ITS_TURN = timedelta(seconds=5)
"""After which a submit comes again that waits for others to be answered, where few go together."""

_is_accepted = jobs.c.state == JobState.ACCEPTED

is_uncompared = exists().where(
    accounts.c.name == jobs.c.account,
    jobs.c.state == JobState.ACCEPTED,
    or_(accounts.c.missing_since.is_not(None), accounts.c.compared_with != select(incarnation).scalar_subquery()),
)
"""Whether a job's submit waits until a database that may have been set back was compared with the history."""

is_held = is_uncompared | exists().where(
    accounts.c.name == jobs.c.account,
    or_(
        and_(
            accounts.c.held_at.is_not(None),
            or_(_is_accepted, accounts.c.stops_reads),
            accounts.c.probe_job_id.is_distinct_from(jobs.c.id),
        ),
        and_(accounts.c.paused_at.is_not(None), _is_accepted),
    ),
)
"""Whether a job waits for its account: before its submit always, after it where the vendor refuses reads as well."""

lets_few_through = accounts.c.unknown_submits >= SUSPECT
"""Whether the last submits of an account have no answer that tells: then few go together."""

is_suspect = exists().where(accounts.c.name == jobs.c.account, _is_accepted, lets_few_through)
"""Whether a job is one of those few."""

asks_vendor = jobs.c.addresses.is_(None)
"""Whether a job's next step makes a request to the vendor: a fetch that knows where the files are makes none."""

opens_at = (
    select(accounts.c.closed_until)
    .where(
        accounts.c.name == jobs.c.account,
        accounts.c.closed_until > now,
        asks_vendor,
        or_(jobs.c.state == JobState.ACCEPTED, accounts.c.closes_reads),
    )
    .scalar_subquery()
)
"""When the account's request limit lets the job's next request through; null: it does now."""

is_closed = opens_at.is_not(None)


stops_submits = or_(
    accounts.c.held_at.is_not(None),
    accounts.c.paused_at.is_not(None),
    accounts.c.missing_since.is_not(None),
    accounts.c.compared_with != select(incarnation).scalar_subquery(),
    accounts.c.closed_until > now,
)
"""Whether an account keeps some job's submit from going, as its row is; null where it does not."""


def lets_submits_through(account: ColumnElement[str] | ScalarSelect[str]) -> ColumnElement[bool]:
    """Tell whether an account lets every job's submit through: then no accepted job is held or limited with it.

    It is asked of the account alone, so once for all that wait: of one that is stopped, each would be asked in vain.
    """
    return not_(exists().where(accounts.c.name == account, stops_submits))


is_in_trouble = exists().where(
    accounts.c.name == jobs.c.account,
    or_(
        accounts.c.held_at.is_not(None),
        accounts.c.unknown_submits > 0,
        accounts.c.closed_until > now - JUST_OPENED,
    ),
)
"""Whether what a job is answered can tell anything of its account that is not known: else nobody asks."""

is_as_said = (
    jobs.c.id == bindparam("job"),
    jobs.c.version == bindparam("seen"),
    jobs.c.state == bindparam("waits_in"),
)
"""Whether a job is as a ticket says, which is told in the parameters of :func:`said`."""

is_due = (*is_as_said, jobs.c.due_at <= now + SLACK, not_(is_held), not_(is_closed))
"""Whether it is due as well, and neither held nor limited with its account."""


def said(ticket: Ticket, state: JobState) -> dict[str, Any]:
    """Return the parameters that tell which job a statement is about, and how a ticket knows it."""
    return {"job": ticket.job_id, "seen": ticket.version, "waits_in": state}
