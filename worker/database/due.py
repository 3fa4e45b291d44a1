"""Whether a job's next step is due: its own time, its account, the request limit."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, exists, not_, or_, select

from worker.database.tables import accounts, incarnation, jobs, now
from worker.rules.lifecycle import JobState, Ticket
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

is_suspect = exists().where(accounts.c.name == jobs.c.account, _is_accepted, accounts.c.unknown_submits >= SUSPECT)
"""Whether the last submits of the account have no answer that tells: then few go together."""

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


def is_due(ticket: Ticket, state: JobState) -> Sequence[ColumnElement[bool]]:
    """Tell whether a job is as the ticket says, due, and neither held nor limited with its account."""
    is_this = (jobs.c.id == ticket.job_id, jobs.c.version == ticket.version, jobs.c.state == state)
    return (*is_this, jobs.c.due_at <= now + SLACK, not_(is_held), not_(is_closed))
