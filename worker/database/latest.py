"""The latest runs, in the order of their submits, which the ledger has: no index of jobs changes with a submit."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, and_, select

from worker.database.records import submissions
from worker.database.tables import jobs, now
from worker.rules.budget import MINUTE


def latest(query: Select[Any], account: str) -> Select[Any]:
    """Narrow a query of jobs to an account's that have a run, the latest submit first."""
    is_its = and_(submissions.c.job_id == jobs.c.id, submissions.c.run.is_not(None))
    has_run = (jobs.c.account == account, jobs.c.submitted_at.is_not(None))
    return query.join(submissions, is_its).where(*has_run).order_by(submissions.c.intended_at.desc())


def submitted_since(age: timedelta | BindParameter[timedelta]) -> Sequence[ColumnElement[bool]]:
    """Tell which jobs were submitted so short a time ago: the intent comes before that, but for clocks that differ."""
    intended = select(submissions.c.job_id).where(submissions.c.intended_at > now - age - MINUTE)
    return jobs.c.id.in_(intended), jobs.c.submitted_at > now - age
