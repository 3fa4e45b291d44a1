"""A consumer of events that knows the broker and nothing of our code."""

from typing import Any

from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from kombu import Connection, Exchange, Queue

from tests.support.waiting import wait_until
from worker.rules.lifecycle import EventType


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


class Listener:
    """A consumer of events that knows the broker and nothing of our code."""

    def __init__(self, connection: Connection) -> None:
        self.events: list[dict[str, Any]] = []
        queue = Queue("", Exchange("sam3d.events", type="topic"), "#", exclusive=True, durable=False)
        self._connection = connection
        self._consumer = connection.Consumer([queue], on_message=self._receive, no_ack=True)
        self._consumer.consume()

    def _receive(self, message: Any) -> None:
        event = from_binary(RabbitMQMessage(message.headers, message.content_type, _bytes(message.body)), JSONFormat())
        self.events.append(
            {
                "id": event.get_id(),
                "type": event.get_type(),
                "subject": event.get_subject(),
                "data": event.get_data(),
                "correlation_id": message.properties.get("correlation_id"),
            }
        )

    def wait_for(self, job_id: str, kind: EventType) -> dict[str, Any]:
        """Return the data of the event of that type of a job."""
        wait_until(lambda: self._has_heard(job_id, kind), f"{kind} of {job_id}")
        data: dict[str, Any] = self._found(job_id, kind)[0]["data"]
        return data

    def _has_heard(self, job_id: str, kind: EventType) -> bool:
        if not self._found(job_id, kind):
            self._drain()
        return bool(self._found(job_id, kind))

    def _found(self, job_id: str, kind: EventType) -> list[dict[str, Any]]:
        return [event for event in self.events if event["subject"] == job_id and event["type"] == kind]

    def _drain(self) -> None:
        try:
            self._connection.drain_events(timeout=0.5)
        except TimeoutError:
            return
