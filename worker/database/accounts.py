"""Who pays: whether the account works, is held, or is being tried with one waiting job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from sqlalchemy import (
    Connection,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    update,
)

from worker.database.tables import WAITING, accounts, is_live, jobs, now
from worker.errors import HoldCause
from worker.rules.lifecycle import DRIVEN_BY, NOW, FollowUp, JobState, Ticket
from worker.rules.outcome import Hold

NOT_TRIED = (HoldCause.OPERATOR, HoldCause.RESTORED)
"""Causes that no job can tell the end of."""

_is_vendors = and_(accounts.c.held_at.is_not(None), accounts.c.held_cause != HoldCause.OPERATOR)
"""Whether the vendor's trouble stops an account; a hold that the last release wrote for a person is that person's."""


def hold(connection: Connection, name: str, reason: Hold, *, stops_reads: bool, job_id: str | None = None) -> bool:
    """Stop an account, or go on stopping it after a probe; return whether it was running.

    What the job that tries it is answered says why it is stopped now.
    """
    why = {"held_cause": reason.cause, "held_message": reason.message}
    stopped = (
        update(accounts)
        .where(accounts.c.name == name, func.coalesce(_is_vendors, False).is_(False))
        .values(**why, held_at=now, stops_reads=stops_reads, refused_probes=0, probed_at=now, probe_job_id=None)
        .returning(accounts.c.name)
    )
    if connection.execute(stopped).scalar():
        return True
    tried = accounts.c.probe_job_id == job_id
    connection.execute(
        update(accounts)
        .where(accounts.c.name == name)
        .values(
            **{column: case((tried, value), else_=accounts.c[column]) for column, value in why.items()},
            stops_reads=or_(accounts.c.stops_reads, literal(stops_reads)),
            refused_probes=accounts.c.refused_probes + case((tried, 1), else_=0),
            probe_job_id=case((tried, None), else_=accounts.c.probe_job_id),
        )
    )
    return False


def pause(connection: Connection, name: str, message: str) -> bool:
    """Stop an account's submits for a person, whatever the vendor does; return whether nobody had."""
    paused = (
        update(accounts)
        .where(accounts.c.name == name, accounts.c.paused_at.is_(None))
        .values(paused_at=now, paused_message=message)
        .returning(accounts.c.name)
    )
    return connection.execute(paused).scalar() is not None


_RUNNING = {
    "held_at": None, "held_cause": None, "held_message": None, "stops_reads": False, "probe_job_id": None,
    "resumed_at": now,
}  # fmt: skip


def resume_after(connection: Connection, name: str, job_id: str) -> HoldCause | None:
    """Let an account work again if this is the job that tries it; return what it was stopped for."""
    return _resume(connection, name, probe_job_id=job_id)


def resume(connection: Connection, name: str) -> HoldCause | None:
    """Let an account work again for all that the vendor has to do with it; return what it was stopped for."""
    return _resume(connection, name)


def _resume(connection: Connection, name: str, **which: str) -> HoldCause | None:
    row = connection.execute(_held(*which), {"name": name, **which}).first()
    if row is None:
        return None
    connection.execute(update(accounts).where(accounts.c.name == row.name).values(_RUNNING))
    return HoldCause(row.held_cause)


@cache
def _held(*columns: str) -> Select[str, str | None]:
    """Lock an account that the vendor's trouble stops, if these columns are as well what the parameters say."""
    which = (accounts.c[column] == bindparam(column) for column in ("name", *columns))
    return select(accounts.c.name, accounts.c.held_cause).where(_is_vendors, *which).with_for_update(key_share=True)


def lift(connection: Connection, name: str) -> Sequence[HoldCause]:
    """End the vendor's hold of an account and a person's; return what it was stopped for."""
    found = (
        select(accounts.c.paused_at, _is_vendors.label("is_vendors"), accounts.c.held_cause)
        .where(accounts.c.name == name)
        .with_for_update(key_share=True)
    )
    row = connection.execute(found).one()
    # Who resumes it knows more than what was counted.
    ended = {**_RUNNING, "paused_at": None, "paused_message": None, "unknown_submits": 0}
    if row.paused_at or row.is_vendors:
        connection.execute(update(accounts).where(accounts.c.name == name).values(ended))
    held = [HoldCause(row.held_cause)] if row.is_vendors else []
    return [*held, HoldCause.OPERATOR] if row.paused_at else held


def note_accepted(connection: Connection, name: str) -> None:
    """Count from nothing again: a submit was accepted. Where nothing was counted no row is locked."""
    connection.execute(_noting_accepted(), {"payer": name})


@cache
def _noting_accepted() -> Update:
    counted = update(accounts).where(accounts.c.name == bindparam("payer"), accounts.c.unknown_submits > 0)
    return counted.values(unknown_submits=0)


def resume_from(connection: Connection, name: str, cause: HoldCause) -> HoldCause | None:
    """Let an account work again if it is held for this cause; return it if it was."""
    return _resume(connection, name, held_cause=cause)


def count_unknown(connection: Connection, name: str) -> int:
    """Count a submit whose answer does not tell; return how many there were in a row."""
    counted = (
        update(accounts)
        .where(accounts.c.name == name)
        .values(unknown_submits=accounts.c.unknown_submits + 1)
        .returning(accounts.c.unknown_submits)
    )
    return connection.execute(counted).scalar() or 0


@dataclass(frozen=True)
class Held:
    """An account that is due to be tried, and why it is stopped."""

    name: str
    cause: HoldCause
    is_asked_in_vain: bool
    is_paused: bool


def to_probe(connection: Connection, interval: timedelta) -> Sequence[Held]:
    """List the held accounts that were not tried within the interval, and count this as a try.

    One whose submits a person stops is tried only for the reads of its runs.
    """
    due = (
        update(accounts)
        .where(
            _is_vendors,
            accounts.c.held_cause.not_in(NOT_TRIED),
            or_(accounts.c.paused_at.is_(None), accounts.c.stops_reads),
            or_(accounts.c.probed_at.is_(None), accounts.c.probed_at <= now - interval),
        )
        .values(probed_at=now, probe_job_id=None)
        .returning(accounts.c.name, accounts.c.held_cause, _is_asked_in_vain, accounts.c.paused_at)
    )
    return [Held(name, HoldCause(cause), vain, bool(paused)) for name, cause, vain, paused in connection.execute(due)]


ASKED_FOR = timedelta(hours=1)
_is_asked_in_vain = or_(accounts.c.refused_probes > 0, accounts.c.held_at < now - ASKED_FOR)
"""Whether the credits seemed enough and were not, or have seemed too few for so long that a job may know better."""


def let_one_through(connection: Connection, name: str) -> FollowUp | None:
    """Choose the waiting job whose step tries a held account, a submit if one waits; None where no job does.

    It is another one each time: first those that were refused the least.
    """
    row = connection.execute(_untried(name)).first() or connection.execute(_least_tried(name)).first()
    if row is None:
        return None
    connection.execute(update(jobs).where(jobs.c.id == row.id).values(due_at=now))
    connection.execute(update(accounts).where(accounts.c.name == name).values(probe_job_id=row.id))
    step = DRIVEN_BY[JobState(row.state)]
    return FollowUp(step, Ticket(row.id, row.version), NOW) if step else None


def _untried(name: str) -> Select[str, int, str]:
    """Find the first in line of the jobs that wait, of those that no request was made for: none goes before it."""
    which = (jobs.c.account == name, jobs.c.phase == WAITING, jobs.c.refusals == 0, jobs.c.attempts == 0)
    return _trying(name).where(*which).order_by(jobs.c.priority.desc(), jobs.c.accepted_at)


def _least_tried(name: str) -> Select[str, int, str]:
    order = (jobs.c.state != JobState.ACCEPTED, jobs.c.refusals, jobs.c.attempts)
    return _trying(name).where(is_live).order_by(*order, jobs.c.priority.desc(), jobs.c.accepted_at)


def _trying(name: str) -> Select[str, int, str]:
    """Find a job whose step may try a held account."""
    states = [state for state, step in DRIVEN_BY.items() if step]
    return (
        select(jobs.c.id, jobs.c.version, jobs.c.state)
        .join(accounts, accounts.c.name == jobs.c.account)
        .where(
            accounts.c.name == name,
            _is_vendors,
            accounts.c.held_cause.not_in(NOT_TRIED),
            jobs.c.state.in_(states),
            jobs.c.lease_until.is_(None),
            case((jobs.c.state == JobState.ACCEPTED, accounts.c.paused_at.is_(None)), else_=accounts.c.stops_reads),
        )
        .limit(1)
    )
