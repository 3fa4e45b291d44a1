"""The latest runs, in the order of their submits, which the ledger has: no index of jobs changes with a submit."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, FromClause, Select, and_, select

from worker.database.records import is_open, submissions
from worker.database.tables import jobs, now
from worker.rules.lifecycle import MINUTE, JobState


def latest(query: Select[Any], account: str) -> Select[Any]:
    """Narrow a query of jobs to an account's that have a run, the latest submit first."""
    is_its = and_(submissions.c.job_id == jobs.c.id, submissions.c.run.is_not(None))
    has_run = (jobs.c.account == account, jobs.c.submitted_at.is_not(None))
    return query.join(submissions, is_its).where(*has_run).order_by(submissions.c.intended_at.desc())


LONGEST_POST = timedelta(hours=1)
"""No POST is waited for as long as this."""


def are_posting(those: FromClause = jobs) -> Sequence[ColumnElement[bool]]:
    """Tell which jobs' submits are under way: each has an intent without an answer, of which there are few."""
    intended = select(submissions.c.job_id).where(is_open, submissions.c.intended_at > now - LONGEST_POST)
    return those.c.id.in_(intended), those.c.state == JobState.SUBMITTING, those.c.lease_until > now


def submitted_since(age: timedelta | BindParameter[timedelta]) -> Sequence[ColumnElement[bool]]:
    """Tell which jobs were submitted so short a time ago: the intent comes before that, but for clocks that differ.

    What lies ahead was submitted before the clock was set back.
    """
    intended = select(submissions.c.job_id).where(submissions.c.intended_at > now - age - MINUTE)
    return jobs.c.id.in_(intended), jobs.c.submitted_at > now - age, jobs.c.submitted_at <= now
