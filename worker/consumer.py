"""The worker's edge to the broker: what Celery may have, and the quarantine for messages that nobody can read."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import structlog
from celery import Celery
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.message import Message

from worker.envelope import body_bytes
from worker.lifecycle import Step
from worker.messages import is_nested_at_most
from worker.tasks import is_in_memory, is_step_ticket
from worker.topology import (
    CONFIRMED,
    DEAD,
    PUBLISH_ERRORS,
    RECONSTRUCT_TASK,
    queue_name,
)

MAX_TASK_NESTING = 100
"""Far above what a request may have, far below what breaks Celery's own reading."""

MAX_HEADERS = 32_000

log = structlog.get_logger(__name__)


def quarantine(app: Celery, message: Message, why: str) -> None:
    """Move a message to ``sam3d.dead`` as it came, then acknowledge it. Its content is not logged."""
    if publish_again(app, message, exchange="", routing_key=DEAD, why=why):
        log.error("message_quarantined", why=why, came_from=_queue_of(message), next=f"it is in {DEAD}")


def publish_again(app: Celery, message: Message, *, exchange: str, routing_key: str, why: str) -> bool:
    """Publish a message elsewhere and acknowledge it, or give it back to the broker; return which."""
    try:
        _publish(app, message, exchange, routing_key, why)
    except PUBLISH_ERRORS as error:
        log.warning("message_given_back", reason=type(error).__name__, next="it comes again in a second")
        time.sleep(1)
        message.requeue()
        return False
    message.ack()
    return True


def _publish(app: Celery, message: Message, exchange: str, routing_key: str, why: str) -> None:
    came_with = {name: each for name, each in as_mapping(message.headers).items() if name != "compression"}
    if len(repr(came_with)) > MAX_HEADERS:  # Headers have to fit into one frame of the protocol.
        came_with = {"x-sam3d-headers": "too large to be kept"}
    headers = {**came_with, "x-sam3d-reason": why, "x-sam3d-from": _queue_of(message)}
    properties = as_mapping(message.properties)
    kept = {name: properties[name] for name in ("message_id", "correlation_id", "type") if properties.get(name)}
    with app.producer_pool.acquire(block=True, timeout=15) as producer:
        producer.publish(
            body_bytes(message.body),
            exchange=exchange,
            routing_key=routing_key,
            headers=headers,
            content_type=message.content_type or "application/octet-stream",
            content_encoding=message.content_encoding or "binary",
            **kept,
            **CONFIRMED,
        )


def _queue_of(message: Message) -> str:
    """Say which way a message came: its exchange, else the queue that it was sent to."""
    came = as_mapping(message.delivery_info)
    return str(came.get("exchange") or came.get("routing_key") or "")[:255]


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return what AMQP calls a table, or nothing where a message has something else."""
    return value if isinstance(value, Mapping) else {}


class Consumer(CeleryConsumer):
    """Celery's consumer, which no message can stop: what it would drop or stumble over is quarantined."""

    app: Celery

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[valid-type,misc]
        """Without Celery's own delayed delivery: messages wait in our ladder."""

        default_steps: ClassVar = [
            step for step in CeleryConsumer.Blueprint.default_steps if "delayed_delivery" not in str(step)
        ]

    def create_task_handler(self, *args: Any, **more: Any) -> Callable[[Message], None]:
        """Check each message before Celery has it."""
        is_embedded = is_in_memory(self.app)
        receive: Callable[[Message], None] = super().create_task_handler(*args, **more)

        def receive_checked(message: Message) -> None:
            why = None if is_embedded else _why_unreadable(message)
            if why:
                quarantine(self.app, message, why)
            else:
                receive(message)

        return receive_checked

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep what Celery would acknowledge and forget."""
        quarantine(self.app, message, f"the body can't be decoded ({type(exc).__name__})")

    def on_unknown_message(self, body: object, message: Message) -> None:
        """Keep what Celery would reject."""
        quarantine(self.app, message, "it is not a task message")

    def on_unknown_task(self, body: object, message: Message, exc: Exception) -> None:
        """Keep what Celery would reject."""
        quarantine(self.app, message, "its task is unknown")

    def on_invalid_task(self, body: object, message: Message, exc: Exception) -> None:
        """Keep what Celery would reject."""
        quarantine(self.app, message, f"it is not a valid task message ({type(exc).__name__})")


def _why_unreadable(message: Message) -> str | None:
    """Say what is wrong with a task message of protocol 2 (Celery's documentation, "Message Protocol").

    Whatever Celery would act on beside the task itself is refused: workflows, times and limits. A worker would
    hold such a message in its memory, drop it, or stop.
    """
    headers = as_mapping(message.headers)
    has_id = isinstance(headers.get("id"), str) and bool(headers["id"])
    problems = {
        "it has no task id": not has_id,
        "its task is unknown": headers.get("task") not in _TASKS,
        "its content type is not application/json": message.content_type != "application/json",
        "it has a time limit": headers.get("timelimit") not in (None, [None, None], (None, None)),
        "it has an eta or a countdown": headers.get("eta") is not None,
        "it expires": headers.get("expires") is not None,
        "its number of retries is wrong": type(headers.get("retries", 0)) is not int,
    }
    return next((why for why, is_so in problems.items() if is_so), None) or _why_unreadable_body(message)


_TASKS = (RECONSTRUCT_TASK, *(queue_name(step) for step in Step))


def _why_unreadable_body(message: Message) -> str | None:
    try:
        arguments = json.loads(body_bytes(message.body))
    except (ValueError, RecursionError):
        return "its body is not JSON"
    if not is_nested_at_most(arguments, MAX_TASK_NESTING):
        return "its body is nested too deep"
    match arguments:
        case [list(), dict() as fields, dict() | None as embedded]:
            if any((embedded or {}).values()):
                return "it is part of a workflow"
            if message.headers["task"] == RECONSTRUCT_TASK:
                return "it has an argument `self`" if "self" in fields else None
            return None if is_step_ticket(arguments[0], fields) else "it does not name a version of a job"
    return "its body is not [args, kwargs, embed]"
