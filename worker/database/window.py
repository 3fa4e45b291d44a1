"""The window in which the vendor takes an account's requests: closed by a 429, and which requests it counts."""

from datetime import datetime
from functools import cache

from sqlalchemy import Connection, bindparam, func, or_, update
from sqlalchemy.sql.dml import ReturningUpdate

from worker.database.slots import count
from worker.database.tables import accounts, now
from worker.rules.budget import Kind
from worker.rules.outcome import Limited
from worker.rules.retry import JUST_OPENED


def close(connection: Connection, account: str, why: Limited, *, is_read: bool) -> bool:
    """Close the account's window after a 429, for reads as well where they count; return whether it was open.

    The limit is lowered once: what was under way meanwhile is answered in the same way.
    """
    count(connection, account, Kind.LIMITED)
    is_open = or_(accounts.c.closed_until.is_(None), accounts.c.closed_until <= now)
    limit = {"learnt_limit": why.learnt_limit, "learnt_at": now} if why.learnt_limit else {}
    opened = {"closed_at": now if why.is_told else None, "closes_reads": why.closes_reads, **limit}
    closed = update(accounts).where(accounts.c.name == account)
    was_open = connection.execute(closed.where(is_open).values(opened).returning(accounts.c.name)).scalar()
    connection.execute(
        closed.values(
            closed_until=func.greatest(accounts.c.closed_until, now + why.opens_in),
            **({"closes_reads": True, "reads_count": True} if is_read else {}),
        )
    )
    return was_open is not None


def note_read(connection: Connection, account: str, asked_at: datetime) -> bool:
    """Note that reads don't count: one was answered while the window was closed. Return whether that is new."""
    return connection.execute(_noting_read(), {"payer": account, "asked_at": asked_at}).scalar() is not None


@cache
def _noting_read() -> ReturningUpdate[str]:
    return (
        update(accounts)
        .where(
            accounts.c.name == bindparam("payer"),
            accounts.c.reads_count.is_(None),
            accounts.c.closed_at < bindparam("asked_at"),
            accounts.c.closed_until > now - JUST_OPENED,
            ~accounts.c.closes_reads,
        )
        .values(reads_count=False)
        .returning(accounts.c.name)
    )
