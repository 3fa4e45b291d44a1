"""The line of the jobs that wait as rows for their submit: those that come next, in the order of its index.

What holds an account holds all of its line, so that is asked once and not of each job: see
:func:`worker.database.due.lets_submits_through`.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, RowMapping, Select, func, not_, select

from worker.database.due import is_closed, is_held, lets_submits_through
from worker.database.tables import WAITING, accounts, jobs, now

FIRST = 500
"""Of the jobs that wait as rows, as many as are looked at to tell whether any waits for something."""


def is_waiting(account: str | BindParameter[str]) -> Sequence[ColumnElement[bool]]:
    """Tell which of an account's jobs wait as rows: no message of theirs is under way.

    Only an accepted one waits until a time. A statement that names its phase as well is thought to find next to
    nothing: then PostgreSQL reads and sorts all that wait.
    """
    return jobs.c.account == account, jobs.c.waits_until <= now, jobs.c.lease_until.is_(None)


def any_waits_for(account: str | BindParameter[str], what: str) -> ColumnElement[bool]:
    """Tell whether a job waits as a row for this, of those that came to wait last."""
    last = select(jobs.c.waits_for).where(*is_waiting(account)).order_by(jobs.c.waits_until.desc()).limit(FIRST)
    latest = last.subquery()
    return select(latest.c.waits_for).where(latest.c.waits_for == what).exists()


def first(connection: Connection, account: str, limit: int, shown: Sequence[Any]) -> Sequence[RowMapping]:
    """Lock the next of an account's jobs that wait as rows, and read what is ``shown`` of them.

    Those that were refused come after all others.
    """
    if not is_let_through(connection, account):
        return connection.execute(_the_probe(account, shown)).mappings().all()
    if are_few(connection, account):
        return connection.execute(_all_that_wait(account, shown).limit(limit)).mappings().all()
    found = list(connection.execute(_never_refused(account, shown).limit(limit)).mappings())
    if len(found) < limit:
        refused = _all_that_wait(account, shown).where(jobs.c.refusals > 0)
        found += connection.execute(refused.limit(limit - len(found))).mappings()
    return found


def is_let_through(connection: Connection, account: str) -> bool:
    """Tell whether every job of an account's line may be submitted; else it is one job at most."""
    gate = select(lets_submits_through(accounts.c.name)).where(accounts.c.name == account)
    return bool(connection.execute(gate).scalar())


def are_few(connection: Connection, account: str) -> bool:
    """Tell whether so few wait as rows that all can be read and sorted; their line may be long, if messages wait."""
    return _count(connection, is_waiting(account), FIRST) < FIRST


_BY_INDEX = (jobs.c.priority.desc(), jobs.c.accepted_at)


def _all_that_wait(account: str, shown: Sequence[Any]) -> Select[Any]:
    which = (*is_waiting(account), jobs.c.due_at <= now)
    return _locked(select(*shown).where(*which).order_by(jobs.c.refusals, *_BY_INDEX))


def _never_refused(account: str, shown: Sequence[Any]) -> Select[Any]:
    # Until when an accepted job waits is when it is swept: by this name its phase can be named as well.
    its = (jobs.c.account == account, jobs.c.phase == WAITING, jobs.c.lease_until.is_(None), jobs.c.sweep_at <= now)
    which = (*its, jobs.c.due_at <= now, jobs.c.refusals == 0)
    return _locked(select(*shown).where(*which).order_by(*_BY_INDEX))


def _the_probe(account: str, shown: Sequence[Any]) -> Select[Any]:
    """Lock the one job that may try an account which is held."""
    probe = select(accounts.c.probe_job_id).where(accounts.c.name == account).scalar_subquery()
    which = (*is_waiting(account), jobs.c.due_at <= now, jobs.c.id == probe, not_(is_held), not_(is_closed))
    return _locked(select(*shown).where(*which))


def _locked(query: Select[Any]) -> Select[Any]:
    return query.with_for_update(skip_locked=True, of=jobs)


def count(connection: Connection, account: str, most: int) -> int:
    """Count the jobs of an account's line that wait as rows and may be submitted, up to ``most``."""
    waits = [*is_waiting(account), jobs.c.due_at <= now]
    if not is_let_through(connection, account):
        waits += [jobs.c.id.in_(select(accounts.c.probe_job_id)), not_(is_held), not_(is_closed)]
    return _count(connection, waits, most)


def _count(connection: Connection, which: Sequence[ColumnElement[bool]], most: int) -> int:
    found = select(jobs.c.id).where(*which).limit(most).subquery()
    return connection.execute(select(func.count()).select_from(found)).scalar_one()


def names(connection: Connection) -> Sequence[str]:
    """Return the accounts, each of which has a line of its own."""
    return connection.execute(select(accounts.c.name).order_by(accounts.c.name)).scalars().all()
