"""A service in this process: a fresh schema, the simulator, and no broker but the in-memory one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from tests.integration.budgeted import Budgeted, Clock
from worker.app import App, create_app
from worker.config.environment import Settings
from worker.database import reading
from worker.database.engine import transaction
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.lifecycle import FollowUp
from worker.simulator import Simulator, SimulatorSettings
from worker.work.executor import execute

PHOTO = Path("worker/photos/cat.png")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Provide a vendor whose runs are over at once."""
    with Simulator(SimulatorSettings.model_validate({"run_time": 0})) as simulated:
        yield simulated


@pytest.fixture
def app(migrated_url: str, simulator: Simulator) -> Iterator[App]:
    """Provide an app with its services; nothing runs but what the test calls."""
    settings = Settings().having(
        SEGMIND_API_KEY=SecretStr("SG_0123456789abcdef"),
        SEGMIND_BASE_URL=simulator.url,
        SEGMIND_ACCOUNT_URL=simulator.url,
        SAM3D_BROKER_URL=SecretStr(f"memory://{uuid4().hex}"),
        SAM3D_DATABASE_URL=SecretStr(migrated_url),
        SAM3D_OUTPUT_HOSTS=(simulator.url,),
        SAM3D_EXPECTED_RUN=timedelta(0),
        SAM3D_SUBMIT_DEADLINE=timedelta(seconds=5),
        SAM3D_READ_DEADLINE=timedelta(seconds=5),
    )
    built = create_app(settings)
    yield built
    built.close()
    built.services.close()


@pytest.fixture
def accepted_job(app: App) -> FollowUp:
    """Provide a job that is accepted and about to be submitted."""
    follow_up = accept(app.services, prepare_request(PHOTO), derived_job_id("test", uuid4().hex))
    assert follow_up
    return follow_up


@pytest.fixture
def submitted_job(app: App, accepted_job: FollowUp) -> FollowUp:
    """Provide a job that the vendor has, about to be polled."""
    return advance(app, accepted_job)


@pytest.fixture
def completed_job(app: App, submitted_job: FollowUp) -> FollowUp:
    """Provide a job whose run is over, about to be fetched."""
    return advance(app, submitted_job)


@pytest.fixture
def clock(app: App) -> Clock:
    """Provide a clock that stands still."""
    return Clock(app)


@pytest.fixture
def budgeted(app: App) -> Iterator[Budgeted]:
    """Return what builds apps on the same database that have a limit; each has an engine of its own."""
    built: list[App] = []

    def build(limit: int = 60, **more: object) -> App:
        settings = {
            "SAM3D_REQUESTS_PER_MINUTE": limit,
            "SAM3D_READS_COUNT": "yes",
            "SAM3D_EXPECTED_RUN": timedelta(seconds=30),
            **more,
        }
        built.append(create_app(app.services.settings.having(**settings)))
        return built[-1]

    yield build
    for each in built:
        each.close()
        each.services.close()


@pytest.fixture
def limited(budgeted: Budgeted) -> App:
    """Provide an app with a limit of 45 requests a minute, which two submits can go together under."""
    return budgeted(45)


def advance(app: App, follow_up: FollowUp) -> FollowUp:
    """Do a job's next step, waiting for its time by the database's clock."""
    following: FollowUp | None = follow_up
    while following and following.ticket == follow_up.ticket:
        following = execute(app.services, following.step, following.ticket)
    assert following, "the job goes on"
    return following


def wait_until_due(app: App, follow_up: FollowUp) -> None:
    """Move a job's time to now."""
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE jobs SET due_at = sam3d_now() WHERE id = :id"), {"id": follow_up.ticket.job_id})


def row_of(app: App, job_id: str) -> dict[str, object]:
    """Read a job's row."""
    with transaction(app.services.engine) as connection:
        row = reading.job_row(connection, job_id)
    assert row
    return dict(row)
