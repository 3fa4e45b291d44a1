"""How an event is published: as a CloudEvent 1.0, confirmed by the broker."""

from typing import Any

from cloudevents.core.bindings.rabbitmq import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from kombu.pools import ProducerPool

from worker.broker.publishing import Publication
from worker.broker.topology import events_exchange
from worker.database.outbox import Event

SOURCE = "sam3d-worker"


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


def event_publication(event: Event) -> Publication:
    """Write an event as it is published."""
    message = to_binary(as_cloud_event(event), JSONFormat())
    how = {
        "exchange": events_exchange.name,
        "routing_key": event.type.value,
        "headers": message.headers,
        "content_type": message.content_type,
        "content_encoding": "utf-8",
        "message_id": event.id,
        **({"correlation_id": event.correlation_id} if event.correlation_id else {}),
    }
    return Publication(message.body, how)


def publish_event(producers: ProducerPool, event: Event) -> bool:
    """Publish an event with a confirm; return whether any queue was bound for it.

    Raises:
        PUBLISH_ERRORS: the broker did not take it.
    """
    return event_publication(event).publish(producers)
