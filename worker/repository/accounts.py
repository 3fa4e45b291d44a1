"""Who pays: whether the account works, is held, or is being tried with one waiting job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, case, literal, or_, select, update

from worker.errors import HoldCause
from worker.lifecycle import DRIVEN_BY, FollowUp, JobState, Ticket
from worker.models import accounts, jobs, now
from worker.outcome import Hold
from worker.schedule import NOW

NOT_TRIED = (HoldCause.OPERATOR, HoldCause.RESTORED)
"""Causes that no job can tell the end of."""


def hold(connection: Connection, name: str, reason: Hold, *, stops_reads: bool) -> bool:
    """Stop an account, or go on stopping it after a probe; return whether it was running.

    What a person stops stays stopped for that reason, whatever it was stopped for before.
    """
    why = {"held_cause": reason.cause, "held_message": reason.message}
    stopped = (
        update(accounts)
        .where(accounts.c.name == name, accounts.c.held_at.is_(None))
        .values(**why, held_at=now, stops_reads=stops_reads, refused_probes=0, probed_at=now)
        .returning(accounts.c.name)
    )
    if connection.execute(stopped).scalar():
        return True
    refused = accounts.c.refused_probes + case((accounts.c.probe_job_id.is_not(None), 1), else_=0)
    connection.execute(
        update(accounts)
        .where(accounts.c.name == name)
        .values(
            **(why if reason.cause is HoldCause.OPERATOR else {}),
            stops_reads=or_(accounts.c.stops_reads, literal(stops_reads)),
            refused_probes=refused,
            probe_job_id=None,
        )
    )
    return False


def resume_after(connection: Connection, name: str, job_id: str) -> bool:
    """Let an account work again if this is the job that tries it; return whether it is."""
    return _resume(connection, accounts.c.name == name, accounts.c.probe_job_id == job_id)


def resume(connection: Connection, name: str, *, but: HoldCause | None = None) -> bool:
    """Let an account work again, unless it is held for one cause; return whether it was held."""
    return _resume(connection, accounts.c.name == name, accounts.c.held_cause.is_distinct_from(but))


def resume_from(connection: Connection, name: str, cause: HoldCause) -> bool:
    """Let an account work again if it is held for this cause; return whether it was."""
    return _resume(connection, accounts.c.name == name, accounts.c.held_cause == cause)


def _resume(connection: Connection, *which: ColumnElement[bool]) -> bool:
    running = (
        update(accounts)
        .where(accounts.c.held_at.is_not(None), *which)
        .values(held_at=None, held_cause=None, held_message=None, stops_reads=False, probe_job_id=None)
        .returning(accounts.c.name)
    )
    return connection.execute(running).scalar() is not None


@dataclass(frozen=True)
class Held:
    """An account that is due to be tried, and why it is stopped."""

    name: str
    cause: HoldCause
    is_asked_in_vain: bool


def to_probe(connection: Connection, interval: timedelta) -> Sequence[Held]:
    """List the held accounts that were not tried within the interval, and count this as a try."""
    due = (
        update(accounts)
        .where(
            accounts.c.held_at.is_not(None),
            accounts.c.held_cause.not_in(NOT_TRIED),
            or_(accounts.c.probed_at.is_(None), accounts.c.probed_at <= now - interval),
        )
        .values(probed_at=now, probe_job_id=None)
        .returning(accounts.c.name, accounts.c.held_cause, _is_asked_in_vain)
    )
    return [Held(name, HoldCause(cause), in_vain) for name, cause, in_vain in connection.execute(due)]


ASKED_FOR = timedelta(hours=1)
_is_asked_in_vain = or_(accounts.c.refused_probes > 0, accounts.c.held_at < now - ASKED_FOR)
"""Whether the credits seemed enough and were not, or have seemed too few for so long that a job may know better."""


def let_one_through(connection: Connection, name: str) -> FollowUp | None:
    """Choose the waiting job whose step tries a held account, a submit if one waits; None where no job does."""
    states = [state for state, step in DRIVEN_BY.items() if step]
    first = (
        select(jobs.c.id, jobs.c.version, jobs.c.state)
        .join(accounts, accounts.c.name == jobs.c.account)
        .where(
            accounts.c.name == name,
            accounts.c.held_cause.not_in(NOT_TRIED),
            jobs.c.state.in_(states),
            jobs.c.lease_until.is_(None),
            or_(jobs.c.state == JobState.ACCEPTED, accounts.c.stops_reads),
        )
        .order_by(jobs.c.state != JobState.ACCEPTED, jobs.c.attempts, jobs.c.priority.desc(), jobs.c.accepted_at)
        .limit(1)
    )
    row = connection.execute(first).first()
    if row is None:
        return None
    connection.execute(update(jobs).where(jobs.c.id == row.id).values(due_at=now))
    connection.execute(update(accounts).where(accounts.c.name == name).values(probe_job_id=row.id))
    step = DRIVEN_BY[JobState(row.state)]
    return FollowUp(step, Ticket(row.id, row.version), NOW) if step else None
