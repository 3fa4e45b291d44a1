"""Submits without an answer in one process: jobs that are taken, sent, looked up and settled."""

import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.in_process import PHOTO, row_of
from worker.app import App
from worker.database import reading
from worker.database.engine import transaction
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, Step
from worker.upkeep.lookup import Lookup
from worker.upkeep.reconcile import reconcile
from worker.work.executor import execute
from worker.work.taking import load


@pytest.fixture
def app(app: App) -> App:
    """Provide an app whose history settles at once."""
    return with_settings(app, SAM3D_RECONCILE_SETTLE=timedelta(0))


def with_settings(app: App, **settings: object) -> App:
    """Change settings of an app, and return it."""
    object.__setattr__(app.services, "settings", app.services.settings.having(**settings))
    return app


def new_job(app: App, prompt: str | None = None, image: Path = PHOTO) -> FollowUp:
    """Accept a job of the same inputs as all others with this prompt."""
    follow_up = accept(app.services, prepare_request(image, prompt=prompt), derived_job_id("test", uuid4().hex))
    assert follow_up
    return follow_up


def submit_job(app: App, job: FollowUp) -> FollowUp | None:
    """Do the submit of a job that was accepted."""
    return execute(app.services, job.step, job.ticket)


def taken_job(app: App, job: FollowUp) -> Job:
    """Take a job as a worker does that dies, or is frozen, before it sends anything."""
    taken = load(app.services, Step.SUBMIT, job.ticket)
    assert taken
    return taken


def state_of(app: App, job: FollowUp) -> str:
    """Return the state that a job is in."""
    return str(row_of(app, job.ticket.job_id)["state"])


def verdicts_of(app: App, job: FollowUp) -> list[str]:
    """Return what the ledger says of a job's submits, the oldest first."""
    with transaction(app.services.engine) as connection:
        return [str(row["verdict"]) for row in reading.submissions_of(connection, job.ticket.job_id)]


def settle_all(app: App, lookup: Lookup | None = None) -> list[FollowUp]:
    """Look up all submits that are in doubt; return the steps that follow."""
    settled = reconcile(app.services, lookup or Lookup(app.services))
    return [each for each in settled if isinstance(each, FollowUp)]


def finish_job(app: App, follow_up: FollowUp | None) -> None:
    """Do all the steps that are left, each when it is due."""
    while follow_up:
        following = execute(app.services, follow_up.step, follow_up.ticket)
        if following and following.ticket == follow_up.ticket:  # It came too early, by so much.
            time.sleep(following.delay.total_seconds())
        follow_up = following
