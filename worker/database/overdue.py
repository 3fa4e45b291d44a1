"""The rows that nobody works on though they are due."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, and_, case, not_, select, update

from worker.database import line
from worker.database.due import is_closed, is_held
from worker.database.phases import Phase
from worker.database.tables import SEEN, jobs, now
from worker.rules.job import Job
from worker.rules.lifecycle import DRIVEN_BY, Ticket


@dataclass(frozen=True)
class Overdue:
    """A row that was left behind, and how often in a row its worker died on it."""

    job: Job
    expired_leases: int


_is_overdue = and_(
    jobs.c.phase == Phase.UNDER_WAY,
    jobs.c.sweep_at <= now,
    jobs.c.state.in_([state for state, step in DRIVEN_BY.items() if step]),
    not_(is_held),
    not_(is_closed),
)
"""Whether a run was left behind; of an accepted job the line tells."""

_EXPIRED = (jobs.c.expired_leases + case((jobs.c.lease_until.is_not(None), 1), else_=0)).label("expired")


def count_waiting(connection: Connection, most: int) -> int:
    """Count the jobs that wait as rows for their submit, up to ``most``."""
    return sum(line.count(connection, each, most) for each in line.names(connection))


def left_behind(connection: Connection, job_ids: Sequence[str]) -> Sequence[Overdue]:
    """Lock those of some runs that are left behind still, and return them in the same order."""
    query = (
        select(*SEEN, _EXPIRED).where(_is_overdue, jobs.c.id.in_(job_ids)).with_for_update(skip_locked=True, of=jobs)
    )
    found = {row["id"]: Overdue(Job.from_row(row), row["expired"]) for row in connection.execute(query).mappings()}
    return [found[each] for each in job_ids if each in found]


def waiting(connection: Connection, limit: int) -> Sequence[Overdue]:
    """Lock the next of those that wait for their submit, account by account."""
    found: list[Overdue] = []
    for each in line.names(connection):
        rows = line.first(connection, each, limit - len(found), (*SEEN, _EXPIRED)) if len(found) < limit else ()
        found += [Overdue(Job.from_row(row), row["expired"]) for row in rows]
    return found


def redrive(connection: Connection, left: Overdue, again_in: timedelta) -> Ticket:
    """Give a row back to whoever gets its next message, and look again later.

    The version stays: a message that is still under way counts as much as the new one, and one of them wins.
    """
    connection.execute(
        update(jobs)
        .where(jobs.c.id == left.job.id)
        .values(lease_until=None, session=None, expired_leases=left.expired_leases, sweep_at=now + again_in)
    )
    return left.job.ticket
