"""Jobs and their accounts under a request limit: what the tests of the budget make, move and look at."""

import io
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid4

from PIL import Image
from sqlalchemy import func, insert, select, update

from tests.support.clock import Clock
from tests.support.kept import keeping
from worker.app import App
from worker.database import window
from worker.database.engine import transaction
from worker.database.records import requests
from worker.database.tables import accounts, jobs, now
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.budget import Terms
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, JobState, Step, Ticket
from worker.rules.outcome import Limited
from worker.simulator import Simulator
from worker.upkeep.scheduler import Scheduler
from worker.work.executor import execute
from worker.work.taking import load

SECOND = timedelta(seconds=1)
RESET = "x-rate-limit-reset-at-utc"

Budgeted = Callable[..., App]


@cache
def photo() -> bytes:
    """Return a small picture, drawn once."""
    image = Image.new("RGB", (48, 36), "white")
    image.paste((200, 30, 30), (15, 9, 33, 27))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def send(app: App, **fields: Any) -> FollowUp | None:
    """Let a request come in."""
    return accept(app.services, prepare_request(photo(), **fields), derived_job_id("test", uuid4().hex))


def add_jobs(app: App, count: int, state: JobState = JobState.ACCEPTED, **values: object) -> list[Ticket]:
    """Add jobs that are due, as rows; those that are accepted wait for the scheduler unless told otherwise."""
    ids = [str(uuid4()) for _ in range(count)]
    later = {} if state is JobState.ACCEPTED else {"sweep_at": now + timedelta(minutes=1)}
    runs = {JobState.PROCESSING, JobState.FETCHING, JobState.SUCCEEDED}
    with transaction(app.services.engine) as connection:
        for each in ids:
            request_id = each if state in runs else None
            row = {"id": each, "state": state, "fingerprint": "", "request_id": request_id, **later, **values}
            connection.execute(insert(jobs).values(row))
    return [Ticket(each, 1) for each in ids]


def alter_job(app: App, ticket: Ticket, **values: object) -> None:
    """Write columns of a job's row."""
    with transaction(app.services.engine) as connection:
        connection.execute(update(jobs).where(jobs.c.id == ticket.job_id).values(values))


def alter_account(app: App, **values: object) -> None:
    """Write columns of the account's row."""
    with transaction(app.services.engine) as connection:
        connection.execute(update(accounts).values(values))


def account_row(app: App) -> Mapping[str, Any]:
    """Read the account's row."""
    with transaction(app.services.engine) as connection:
        return dict(connection.execute(select(accounts)).mappings().one())


def job_row(app: App, ticket: Ticket) -> Mapping[str, Any]:
    """Read a job's row."""
    with transaction(app.services.engine) as connection:
        return dict(connection.execute(select(jobs).where(jobs.c.id == ticket.job_id)).mappings().one())


def drawn_slots(app: App) -> list[datetime]:
    """Return the slots that jobs have drawn and not used yet, in no order."""
    with transaction(app.services.engine) as connection:
        return list(connection.execute(select(jobs.c.slot_at).where(jobs.c.slot_at.is_not(None))).scalars())


def counted_requests(app: App) -> dict[str, int]:
    """Return how many requests of each kind were counted in all minutes."""
    query = select(requests.c.kind, func.sum(requests.c.count)).group_by(requests.c.kind)
    with transaction(app.services.engine) as connection:
        return {str(kind): int(count) for kind, count in connection.execute(query)}


def fresh_terms(app: App) -> Terms:
    """Return what a process goes by that has not asked for some seconds."""
    app.services.outlook._stale_at = 0
    return app.services.outlook.terms()


def slot_of(app: App) -> timedelta:
    """Return how far apart an app's slots are."""
    slot = app.services.outlook.terms().slot
    assert slot
    return slot


def make_scheduler(app: App, sent: list[FollowUp]) -> Scheduler:
    """Return a scheduler that keeps what it sends."""
    return Scheduler(keeping(app.services, sent.append), dict)


def take(app: App, step: Step, ticket: Ticket) -> Job:
    """Take a job for its step, as a worker does whose turn it is."""
    job = load(app.services, step, ticket)
    assert job
    return job


def drive(app: App, clock: Clock, follow_up: FollowUp | None) -> None:
    """Do all that is left of a job, each message in its time."""
    while follow_up:
        clock.advance(follow_up.delay)
        follow_up = execute(app.services, follow_up.step, follow_up.ticket)


def limit_calls(simulator: Simulator, call: str, reset_at: datetime | None, count: int | None = None) -> None:
    """Let calls be answered with 429."""
    simulator.update(reset_header="missing")
    headers = {RESET: reset_at.isoformat()} if reset_at else {}
    simulator.add_fault(call=call, kind="status", http_status=429, headers=headers, count=count)


def close_window(app: App, opens_in: timedelta, *, step: Step = Step.SUBMIT, learnt: float | None = None) -> None:
    """Close the window for a while, as a 429 does that names its end."""
    with transaction(app.services.engine) as connection:
        is_read = step is not Step.SUBMIT
        why = Limited(opens_in, is_told=True, closes_reads=is_read, learnt_limit=learnt)
        window.close(connection, "default", why, is_read=is_read)


def count_calls(simulator: Simulator, call: str) -> int:
    """Return how many of these calls the vendor saw."""
    return sum(simulator.requests()["calls"].get(call, {}).values())


def add_submitted(app: App, simulator: Simulator, count: int = 1, **values: object) -> list[Ticket]:
    """Add jobs that the vendor has, submitted ten seconds ago."""
    image = prepare_request(photo())["image"]
    began = {"submitted_at": now - 10 * SECOND, **values}
    runs = [app.services.vendor.submit({"image": image}).request_id for _ in range(count)]
    return [add_jobs(app, 1, JobState.PROCESSING, **{"request_id": each, **began})[0] for each in runs]
