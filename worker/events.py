"""Event out: what each announcement says, and the outbox that gets it to the broker."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from cloudevents.core.bindings.rabbitmq import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from kombu.pools import ProducerPool

from worker.database import DatabaseError, Engine, describe, transaction
from worker.failpoints import reach
from worker.job import Job
from worker.lifecycle import JobState
from worker.outcome import Change
from worker.publishing import publish
from worker.repository import outbox
from worker.repository.outbox import Event
from worker.topology import PUBLISH_ERRORS, events_exchange

SOURCE = "sam3d-worker"

log = structlog.get_logger(__name__)


def job_payload(job_id: str, state: JobState, metadata: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Say which job, where it is, and give the sender's metadata back."""
    return {"job_id": job_id, "state": state, "metadata": dict(metadata), **more}


def error_payload(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """Say what went wrong: a stable code, a sentence, and the field of the request if it was one."""
    return {"error": {"code": code, "message": message, "field": field}}


def change_payload(job: Job, change: Change, stored: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Say what a step's change means to the sender; ``stored`` are the job's outputs."""
    payload = job_payload(job.id, change.state, job.metadata)
    match change.state:
        case JobState.PROCESSING:
            payload["request_id"] = change.columns.get("request_id")
        case JobState.SUCCEEDED:
            metrics = change.columns.get("metrics") or job.metrics or {}
            payload |= {
                "outputs": [_described(job.id, each) for each in stored],
                "cost": {"amount": metrics.get("cost"), "currency": "USD"},
                "timings": {name: metrics.get(name) for name in ("queue_time", "inference_time", "total_time")}
                | {"seconds_since_submit": round(job.age.total_seconds(), 3), "polls": job.polls},
            }
        case JobState.FAILED | JobState.REVIEW:
            columns = change.columns
            payload |= error_payload(columns["error_code"], columns["error_message"])
        case _:
            pass
    return payload


def _described(job_id: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a file is and how to get it."""
    told = {name: stored[name] for name in ("name", "media_type", "bytes", "sha256")}
    get = {"cli": f"sam3d output {job_id} --name {stored['name']}", "python": "worker.client.Client.download"}
    return {**told, "get": get}


def as_cloud_event(event: Event) -> CloudEvent:
    """Make the CloudEvents 1.0 form of an event."""
    attributes: dict[str, Any] = {
        "id": event.id,
        "type": event.type,
        "source": SOURCE,
        "time": event.occurred_at,
        "datacontenttype": "application/json",
    }
    if event.job_id:
        attributes["subject"] = event.job_id
    return CloudEvent(attributes=attributes, data=dict(event.payload))


class Outbox:
    """Gets events to ``sam3d.events``: published, confirmed by the broker, then marked."""

    def __init__(self, engine: Engine, producers: ProducerPool) -> None:
        self._engine = engine
        self._producers = producers

    def announce(self, events: Sequence[Event]) -> int:
        """Publish committed events; what fails stays in the outbox for the relay. Return how many went out."""
        try:
            for event in events:
                self._announce(event)
        except (*PUBLISH_ERRORS, DatabaseError) as error:
            log.warning("event_delayed", event_id=event.id, reason=describe(error), next="the scheduler sends it")
            return events.index(event)
        return len(events)

    def _announce(self, event: Event) -> None:
        was_routed = self._publish(event)
        reach("publish.confirmed")
        with transaction(self._engine) as connection:
            outbox.mark_published(connection, event.id, was_routed=was_routed)
        level = log.info if was_routed else log.warning
        level("event_published", event_id=event.id, event_type=event.type, was_routed=was_routed)

    def _publish(self, event: Event) -> bool:
        """Publish with a confirm; return whether any queue was bound for it."""
        message = to_binary(as_cloud_event(event), JSONFormat())
        return publish(
            self._producers,
            message.body,
            exchange=events_exchange.name,
            routing_key=event.type.value,
            headers=message.headers,
            content_type=message.content_type,
            content_encoding="utf-8",
            message_id=event.id,
            **({"correlation_id": event.correlation_id} if event.correlation_id else {}),
        )
