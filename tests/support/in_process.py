"""A service in this process, whose jobs a test moves step by step: no broker but the in-memory one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from worker.app import App, create_app
from worker.config.environment import Settings
from worker.database import reading
from worker.database.engine import transaction
from worker.rules import onward
from worker.rules.lifecycle import FollowUp
from worker.simulator import Simulator
from worker.work.executor import execute

PHOTO = Path("worker/photos/cat.png")


def settings_of(broker_url: str, database_url: str, simulator: Simulator) -> Settings:
    """Return the settings of a service whose vendor is this simulator."""
    return Settings().having(
        SEGMIND_API_KEY=SecretStr("SG_0123456789abcdef"),
        SEGMIND_BASE_URL=simulator.url,
        SEGMIND_ACCOUNT_URL=simulator.url,
        SAM3D_BROKER_URL=SecretStr(broker_url),
        SAM3D_DATABASE_URL=SecretStr(database_url),
        SAM3D_OUTPUT_HOSTS=(simulator.url,),
        SAM3D_EXPECTED_RUN=timedelta(0),
        SAM3D_SUBMIT_DEADLINE=timedelta(seconds=5),
        SAM3D_READ_DEADLINE=timedelta(seconds=5),
    )


@pytest.fixture
def app(migrated_url: str, simulator: Simulator) -> Iterator[App]:
    """Provide an app with its services; nothing runs but what the test calls."""
    built = create_app(settings_of(f"memory://{uuid4().hex}", migrated_url, simulator))
    yield built
    built.close()


def advance(app: App, follow_up: FollowUp) -> FollowUp:
    """Do a job's next step and no other, waiting for its time by the database's clock."""
    following: FollowUp | None = follow_up
    with patch.object(onward, "goes_on", return_value=False):
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


def is_awaited(app: App) -> bool:
    """Tell whether a session waits for a lock of another."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with transaction(app.services.engine) as connection:
        return bool(connection.execute(text(waits)).scalar())
