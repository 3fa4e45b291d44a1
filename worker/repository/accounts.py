"""Who pays: whether the account works, is held, or is being tried with one waiting job."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, or_, select, update

from worker.lifecycle import Hold, JobState, Ticket
from worker.models import accounts, jobs, now


def hold(connection: Connection, name: str, reason: Hold) -> bool:
    """Stop an account, or go on stopping it after a probe; return whether it was running."""
    connection.execute(update(accounts).where(accounts.c.name == name).values(probe_job_id=None))
    stopped = (
        update(accounts)
        .where(accounts.c.name == name, accounts.c.held_at.is_(None))
        .values(
            held_at=now,
            held_cause=reason.cause,
            held_message=reason.message,
            probed_at=now,
        )
        .returning(accounts.c.name)
    )
    return connection.execute(stopped).scalar() is not None


def resume(connection: Connection, name: str) -> bool:
    """Let an account work again; return whether it was held."""
    running = (
        update(accounts)
        .where(accounts.c.name == name, accounts.c.held_at.is_not(None))
        .values(held_at=None, held_cause=None, held_message=None, probe_job_id=None)
        .returning(accounts.c.name)
    )
    return connection.execute(running).scalar() is not None


def to_probe(connection: Connection, interval: timedelta) -> Sequence[str]:
    """List the held accounts that were not tried within the interval."""
    query = select(accounts.c.name).where(
        accounts.c.held_at.is_not(None),
        or_(accounts.c.probed_at.is_(None), accounts.c.probed_at <= now - interval),
    )
    return connection.execute(query).scalars().all()


def let_one_through(connection: Connection, name: str) -> Ticket | None:
    """Choose the waiting job whose submit tries a held account; None where no job waits."""
    first = (
        select(jobs.c.id, jobs.c.version)
        .where(jobs.c.account == name, jobs.c.state == JobState.ACCEPTED)
        .order_by(jobs.c.priority.desc(), jobs.c.accepted_at)
        .limit(1)
    )
    row = connection.execute(first).first()
    connection.execute(
        update(accounts).where(accounts.c.name == name).values(probed_at=now, probe_job_id=row.id if row else None)
    )
    return Ticket(row.id, row.version) if row else None
