"""How an account stands to the database that its rows are in: compared with the vendor's history, or set back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, cast, delete, exists, func, insert, or_, select, true, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningDelete

from worker.database.arrivals import inputs_of
from worker.database.phases import Phase
from worker.database.records import strays, submissions
from worker.database.submissions import Digest
from worker.database.tables import SEEN, accounts, incarnation, jobs, now
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Verdict
from worker.rules.request_id import canonical_id
from worker.rules.retry import OUTPUT_LIFETIME
from worker.rules.run import Inputs


@dataclass(frozen=True)
class Intended:
    """A submit whose intent is known to be committed."""

    token: str
    at: datetime  # By the database's clock.


_NOTE_MISSING = """
UPDATE accounts
SET missing_since = least(missing_since, coalesce(
        (SELECT max(intended_at) FROM submissions WHERE intended_at < %(at)s), %(at)s - interval '1 day'
    )),
    settled_until = %(at)s
WHERE name = %(account)s AND %(at)s > coalesce(settled_until, '-infinity')
    AND NOT EXISTS (SELECT FROM submissions WHERE token = %(token)s)
RETURNING name
"""
"""One statement for SQLAlchemy and for the driver alone. What was lost came after the newest submit before it."""


def note_missing(connection: Connection, account: str, remembered: Intended) -> bool:
    """Stop an account's submits where one that was committed is not there any more; return whether it is so.

    One that was deleted, or whose loss was compared with the history since, is not missed.
    """
    return connection.exec_driver_sql(_NOTE_MISSING, _values(account, remembered)).first() is not None


def note_missing_at_once(driver: Any, account: str, remembered: Intended) -> bool:
    """Do the same on a connection of the driver that nobody has yet, and commit it."""
    is_missing = driver.execute(_NOTE_MISSING, _values(account, remembered)).fetchone() is not None
    driver.commit()
    return is_missing


def _values(account: str, remembered: Intended) -> dict[str, Any]:
    return {"account": account, "token": remembered.token, "at": remembered.at}


@dataclass(frozen=True)
class Lineage:
    """What is known of an account's rows and of the database that they are in."""

    observed_at: datetime
    incarnation: str
    compared_with: str | None
    missing_since: datetime | None
    held_cause: str | None
    newest: Intended | None

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever compared, and nothing is missing: an installation that begins."""
        return self.compared_with is None and self.missing_since is None

    @property
    def is_settled(self) -> bool:
        """Whether submits may be made."""
        return self.compared_with == self.incarnation and self.missing_since is None


def read(connection: Connection, account: str) -> Lineage:
    """Read how an account stands to its database."""
    at, life, compared_with, missing_since, cause, *newest = connection.execute(_standing(), {"payer": account}).one()
    return Lineage(at, life, compared_with, missing_since, cause, Intended(*newest) if newest[0] else None)


@cache
def _standing() -> Select[Any]:
    shown = (accounts.c.compared_with, accounts.c.missing_since, accounts.c.held_cause)
    made = (submissions.c.token, submissions.c.intended_at)
    newest = select(*made).order_by(submissions.c.intended_at.desc()).limit(1).subquery()
    both = accounts.outerjoin(newest, true())
    return select(now, incarnation, *shown, *newest.c).select_from(both).where(accounts.c.name == bindparam("payer"))


def note_gap(connection: Connection, account: str, seen: Lineage) -> None:
    """Stop an account's submits: the history has runs that its rows lost."""
    since = seen.newest.at if seen.newest else seen.observed_at
    missing = func.least(accounts.c.missing_since, since)
    connection.execute(update(accounts).where(accounts.c.name == account).values(missing_since=missing))


def settle(connection: Connection, account: str, seen: Lineage) -> bool:
    """Let submits be made: all that was missing by then has been found. Return whether that is still so."""
    settled = (
        update(accounts)
        .where(accounts.c.name == account, accounts.c.missing_since.is_not_distinct_from(seen.missing_since))
        .values(
            compared_with=seen.incarnation,
            missing_since=None,
            settled_until=func.greatest(accounts.c.settled_until, seen.observed_at),
        )
        .returning(accounts.c.name)
    )
    return connection.execute(settled).scalar() is not None


def pass_over(connection: Connection, account: str, seen: Lineage) -> None:
    """Let submits be made though nothing was compared, unless something is missing: it stays so."""
    connection.execute(update(accounts).where(accounts.c.name == account).values(compared_with=seen.incarnation))


def resume(connection: Connection, account: str) -> bool:
    """Let submits be made because a person says so; return whether they were not."""
    seen = read(connection, account)
    if seen.is_settled or seen.is_new:
        return False
    drive_waiting(connection, account)
    return settle(connection, account, seen)


def drive_waiting(connection: Connection, account: str) -> None:
    """Let the sweep send the submits whose messages came while they were not allowed."""
    waiting = (
        jobs.c.account == account,
        jobs.c.phase == Phase.WAITING,
        jobs.c.lease_until.is_(None),
        jobs.c.due_at <= now,
        jobs.c.waits_until > now,
    )
    connection.execute(update(jobs).where(*waiting).values(sweep_at=now))


def waiting_jobs(connection: Connection, account: str) -> Sequence[tuple[str, datetime, Mapping[str, Any]]]:
    """List the jobs that are to be submitted, in the order in which they are: id, age and parameters, without files."""
    query = select(jobs.c.id, jobs.c.accepted_at, jobs.c.parameters)
    which = query.where(jobs.c.account == account, jobs.c.phase == Phase.WAITING)
    rows = connection.execute(which.order_by(jobs.c.priority.desc(), jobs.c.accepted_at))
    return [(row.id, row.accepted_at, row.parameters) for row in rows]


def waiting_job(connection: Connection, job_id: str) -> Job | None:
    """Read a job that is to be submitted, with its files."""
    query = select(*SEEN).where(jobs.c.id == job_id, jobs.c.state == JobState.ACCEPTED)
    row = connection.execute(query).mappings().first()
    return replace(Job.from_row(row), files=inputs_of(connection, job_id)) if row else None


@dataclass(frozen=True)
class Run:
    """A run that was started before the database was set back."""

    request_id: str
    status: str
    made_at: datetime


@dataclass(frozen=True)
class Adopted:
    """A run that was found for a job, and what the job sends."""

    run: Run
    sent: Digest
    is_inline: bool
    is_addressed: bool = False


KEPT_FOR = OUTPUT_LIFETIME - timedelta(days=1)
"""How old a run may be to be given to somebody: its files have to be there still."""


@dataclass(frozen=True)
class Stray:
    """A run that no job here is known for; ``placed`` is what it shows to who has sent addresses of ours."""

    run: Run
    inputs: Inputs
    placed: Inputs | None = None


def keep_strays(connection: Connection, found: Sequence[Stray]) -> None:
    """Keep the runs that no job here is known for, and forget those whose files are gone."""
    connection.execute(delete(strays).where(strays.c.made_at < now - KEPT_FOR))
    for each in found:
        run, placed = each.run, each.placed and dict(each.placed)
        marks = {"inputs": dict(each.inputs), "placed": placed}
        row = {"request_id": run.request_id, "remote_status": run.status, **marks}
        kept = upsert(strays).values(run=canonical_id(run.request_id), made_at=run.made_at, **row)
        connection.execute(kept.on_conflict_do_nothing())


def take_stray(connection: Connection, inputs: Inputs) -> Run | None:
    """Take a run of exactly these inputs that was paid for a job which was lost; None where there is none."""
    row = connection.execute(_taking(), {"sent": dict(inputs)}).first()
    return Run(*row) if row else None


@cache
def _taking() -> ReturningDelete[str, str, datetime]:
    has_submit = exists().where(submissions.c.run == strays.c.run)
    first = (
        select(strays.c.run)
        .where(is_sent, strays.c.made_at > now - KEPT_FOR, ~has_submit)
        .order_by(strays.c.made_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = delete(strays).where(strays.c.run == first.scalar_subquery())
    return taken.returning(strays.c.request_id, strays.c.remote_status, strays.c.made_at)


_sent = cast(bindparam("sent", type_=JSONB), JSONB)
is_sent = or_(strays.c.inputs == _sent, strays.c.placed == _sent)
"""Whether a run shows what is ``sent``."""


def write_adopted(connection: Connection, token: str, job: Job, worker: str, what: Adopted) -> None:
    """Write the submit that a run was found for into the ledger, in place of the one that was lost."""
    connection.execute(
        insert(submissions).values(
            token=token,
            job_id=job.id,
            worker=worker,
            inputs_sha256=what.sent.sha256,
            inputs=dict(what.sent.inputs),
            is_inline=what.is_inline,
            is_addressed=what.is_addressed,
            intended_at=func.least(what.run.made_at, now),
            answered_at=now,
            verdict=Verdict.ADOPTED,
            request_id=what.run.request_id,
            run=canonical_id(what.run.request_id),
            detail="the database was set back; the history lists a run of these inputs",
        )
    )
