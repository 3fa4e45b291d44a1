"""An event on the wire is a CloudEvent."""

from datetime import UTC, datetime
from typing import Any

import pytest

from worker.database.outbox import Event
from worker.events.payloads import error_payload, job_payload
from worker.events.publisher import as_cloud_event
from worker.rules.lifecycle import EventType, JobState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(kind: EventType, job_id: str | None = "job", payload: dict[str, Any] | None = None) -> Event:
    """Return a row of the outbox."""
    return Event("id", job_id, kind, payload or {}, NOW)


@pytest.mark.parametrize("kind", EventType)
def test_an_event_is_a_cloud_event(kind: EventType) -> None:
    """With the attributes that the specification requires, and the job as its subject."""
    made = as_cloud_event(event(kind, payload=job_payload("job", JobState.FAILED, {}, **error_payload("c", "m", "f"))))
    assert (made.get_id(), made.get_type(), made.get_source()) == ("id", kind.value, "sam3d-worker")
    assert (made.get_subject(), made.get_time(), made.get_datacontenttype()) == ("job", NOW, "application/json")
