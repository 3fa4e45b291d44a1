"""A service in this process: a fresh schema, the simulator, and no broker but the in-memory one."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.support.budgeted import Budgeted
from tests.support.clock import Clock
from tests.support.in_process import PHOTO, advance, app
from worker.app import App, create_app
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.lifecycle import FollowUp
from worker.simulator import Simulator, SimulatorSettings

__all__ = ["app"]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Provide a vendor whose runs are over at once."""
    with Simulator(SimulatorSettings.model_validate({"run_time": 0})) as simulated:
        yield simulated


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
    return Clock(app.services.engine, stands_still=True)


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


@pytest.fixture
def limited(budgeted: Budgeted) -> App:
    """Provide an app with a limit of 45 requests a minute, which two submits can go together under."""
    return budgeted(45)


@pytest.fixture
def sharing(app: App) -> Iterator[App]:
    """Provide an app that lets equal requests share a run."""
    built = create_app(app.services.settings.having(SAM3D_SHARE_RUNS=True))
    yield built
    built.close()
