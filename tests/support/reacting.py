"""What a step works with, in memory: a job, settings, a vendor of the test's, and what an error leads to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from worker.config.environment import Settings
from worker.errors import Sam3dError
from worker.rules.budget import Terms
from worker.rules.job import Job
from worker.rules.lifecycle import JobState
from worker.rules.outcome import Outcome
from worker.rules.plan import PROMPT, make_plan
from worker.rules.survival import learn
from worker.work.reactions import react
from worker.work.services import Services

NOW = datetime(2026, 1, 1, tzinfo=UTC)

JOB = Job("job", "default", JobState.PROCESSING, 1, {}, {}, 0, 0, 0, "run", NOW, NOW)

PLAN = make_plan(learn((), 31.7), PROMPT)


@cache
def defaults() -> Settings:
    """Return the settings that nobody changed."""
    return Settings()


def services_with(vendor: object, **changes: object) -> Services:
    """Return what a step of this vendor works with: the default settings but for some."""
    settings = defaults().having(**changes)
    outlook = SimpleNamespace(terms=lambda: Terms(PLAN))
    return cast("Services", SimpleNamespace(settings=settings, vendor=vendor, outlook=outlook))


def aged(state: JobState, age: timedelta = timedelta(0), **counts: int) -> Job:
    """Return a job in this state with these counts, so long after its submit if that was answered."""
    submitted_at = None if state is JobState.SUBMITTING else NOW - age
    return replace(JOB, state=state, submitted_at=submitted_at, **cast("dict[str, Any]", counts))


def reaction(state: JobState, error: Sam3dError, age: timedelta = timedelta(0), **counts: int) -> Outcome:
    """Return what an error leads to."""
    return react(services_with(None), aged(state, age, **counts), error)
