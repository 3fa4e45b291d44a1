"""Whose turn a submit is: of the jobs that wait, the most important, then the oldest."""

from collections.abc import Iterator
from functools import cache

from sqlalchemy import Connection, ScalarSelect, Select, bindparam, case, exists, func, not_, select

from worker.database.due import SLACK, is_closed, is_held, lets_submits_through
from worker.database.tables import WAITING, accounts, jobs, now
from worker.rules.lifecycle import JobState, Ticket


def in_line(connection: Connection, ticket: Ticket) -> Iterator[Ticket]:
    """Yield the tickets that a submit's message may be used for: the most important one first, then the message's own.

    That one let it go first, and has no message any more.
    """
    first = whose_turn(connection, ticket)
    yield first
    if (then := whose_turn(connection, ticket)) != first:
        yield then


def whose_turn(connection: Connection, ticket: Ticket) -> Ticket:
    """Return whose submit a message is the turn for, and lock that job: a more important one that waits goes first.

    Its own message comes later and finds that it is gone; that is then the turn of the first in line. So there are as
    many turns as messages, and whoever let another go first is not forgotten.
    """
    values = {"job": ticket.job_id, "seen": ticket.version}
    row = connection.execute(_first_in_line(), values).first() or connection.execute(_let_through(), values).first()
    return Ticket(*row) if row else ticket


@cache
def _first_in_line() -> Select[str, int]:
    """Lock the first of the jobs that go before a ticket's own, where their account lets submits through.

    Where it does not, nobody walks along all that wait to ask each whether it is held.
    """
    return _more_important().where(lets_submits_through(_account_of_own()))


@cache
def _let_through() -> Select[str, int]:
    """Lock the job that may try an account which lets no other through, where that goes before a ticket's own."""
    probe = select(accounts.c.probe_job_id).where(accounts.c.name == _account_of_own()).scalar_subquery()
    return _more_important().where(jobs.c.id == probe, not_(is_held), not_(is_closed))


def _account_of_own() -> ScalarSelect[str]:
    own = jobs.alias()
    return select(own.c.account).where(own.c.id == bindparam("job")).scalar_subquery()


def _more_important() -> Select[str, int]:
    """Lock the first of the jobs that wait and are due, and go before a ticket's own."""
    own = jobs.alias()
    is_own = (own.c.id == bindparam("job"), own.c.version == bindparam("seen"), own.c.state == JobState.ACCEPTED)
    rank = case((own.c.due_at <= now + SLACK, own.c.priority), else_=HIGHEST)  # Whoever is early keeps his message.
    return (
        select(jobs.c.id, jobs.c.version)
        .where(
            jobs.c.account == _account_of_own(),
            jobs.c.phase == WAITING,
            jobs.c.priority > func.coalesce(select(rank).where(*is_own).scalar_subquery(), LOWEST),
            jobs.c.lease_until.is_(None),
            jobs.c.due_at <= now + SLACK,
        )
        .order_by(jobs.c.priority.desc(), jobs.c.accepted_at)
        .limit(1)
        .with_for_update(skip_locked=True, of=jobs)
    )


_other = jobs.alias("other")
is_first = ~exists().where(
    _other.c.account == jobs.c.account,
    _other.c.phase == WAITING,
    _other.c.priority > jobs.c.priority,
    _other.c.lease_until.is_(None),
    _other.c.due_at <= now + SLACK,
)
"""Whether no job that waits and is due is more important than a job; one that is held counts as well."""

LOWEST, HIGHEST = -(2**15), 2**15 - 1
"""Below and above every priority."""
