"""The worker's edge to the broker: what Celery may have; what it would drop or stumble over is quarantined."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

import structlog
from amqp.exceptions import IrrecoverableChannelError, IrrecoverableConnectionError
from celery import bootsteps
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.message import Message
from kombu.utils.json import loads as revive

from worker import watchdog
from worker.database import DatabaseError
from worker.envelope import body_bytes
from worker.frames import UNREADABLE
from worker.hearing import Hearing, make_loud
from worker.leases import expect_all
from worker.lifecycle import Step
from worker.messages import is_nested_at_most
from worker.quarantine import as_mapping, publish_again, quarantine
from worker.redelivery import (
    DELIVERIES,
    Losses,
    is_back,
    number_of_deliveries,
    request_of,
    tell_sender,
    why_given_up,
)
from worker.tasks import is_in_memory, is_step_ticket
from worker.topology import MAX_DELIVERIES, PUBLISH_ERRORS, RECONNECT, RECONSTRUCT_TASK, REQUESTS, missing, queue_name

MAX_TASK_NESTING = 100
"""Far above what a request may have, far below what breaks Celery's own reading."""

REFUSED_SECONDS = 5

log = structlog.get_logger(__name__)


class HeartStep(bootsteps.StartStopStep):
    """Shows that Celery's loop turns and hears, while it has a connection; without one it tries, however long."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, parent: Any, **more: Any) -> None:
        super().__init__(parent, **more)
        self._heart = watchdog.heart("consumer")

    def include_if(self, parent: Any) -> bool:
        """Leave the in-memory broker out, which has no loop."""
        return bool(parent.hub)

    def start(self, parent: Any) -> None:
        """Beat once a second. The timer is one of those that Celery drops with the connection."""
        self._heart.beat()
        parent.hearing = Hearing()
        parent.hub.timer.call_repeatedly(1.0, self._beat, (parent,))

    def _beat(self, parent: Any) -> None:
        """Beat while each queue is read; else have Celery connect anew.

        Raises:
            ConnectionResetError: a queue is not heard any more.
        """
        if parent.blueprint.state == bootsteps.RUN:  # type: ignore[attr-defined]
            parent.hearing.require([parent.task_consumer])
        self._heart.beat()

    def stop(self, parent: Any) -> None:
        """Rest: the connection is lost, or the worker waits for the last of its work."""
        self._heart.rest()


class Consumer(CeleryConsumer):
    """Celery's consumer, which no message can stop: what it would drop or stumble over is quarantined."""

    app: Any
    hearing: Hearing

    def __init__(self, *args: Any, **more: Any) -> None:
        self.losses = Losses()
        super().__init__(*args, **more)

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[valid-type,misc]
        """Without Celery's own delayed delivery: messages wait in our ladder."""

        default_steps: ClassVar = [
            *(step for step in CeleryConsumer.Blueprint.default_steps if "delayed_delivery" not in str(step)),
            HeartStep,
        ]

    def create_task_handler(self, *args: Any, **more: Any) -> Callable[[Message], None]:
        """Check each message before Celery has it."""
        receive: Callable[[Message], None] = super().create_task_handler(*args, **more)
        if is_in_memory(self.app):
            return receive

        def receive_checked(message: Message) -> None:
            self.hearing.hear(message)
            if is_back(message) and not self.losses.is_recent:
                self._count(message)
            elif why := _why_unreadable(message):
                quarantine(self.app.producer_pool, message, why)
            else:
                self._hand_over(message, receive)

        return receive_checked

    def _hand_over(self, message: Message, receive: Callable[[Message], None]) -> None:
        """Let Celery have a message; one that it stumbles over all the same is quarantined."""
        try:
            receive(message)
        except PUBLISH_ERRORS:  # The connection is lost: Celery makes another one.
            raise
        except Exception as error:
            if message.acknowledged:
                raise
            quarantine(self.app.producer_pool, message, f"Celery can't take it ({type(error).__name__})")

    def _count(self, message: Message) -> None:
        """Send a request that a worker did not get through with on its way again, a few times."""
        deliveries = 1 + number_of_deliveries(message)
        if deliveries > MAX_DELIVERIES:
            self._give_up(message, why_given_up(deliveries))
            return
        marks = {DELIVERIES: deliveries}
        if publish_again(self.app.producer_pool, message, exchange="", routing_key=REQUESTS, marks=marks):
            log.warning("request_redelivered", deliveries=deliveries, next="it is at the end of the queue")

    def _give_up(self, message: Message, why: str) -> None:
        """Quarantine a request, and only then read it once more, to tell its sender."""
        if quarantine(self.app.producer_pool, message, why):
            tell_sender(self.app.services, *request_of(message), why)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Remember that what comes back now had been on its way."""
        self.losses.note()
        super().on_connection_error_after_connected(exc)
        _wait_where_refused(exc)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Wait for a broker that refuses: its virtual host is made anew, or its password was changed before ours."""
        super().on_connection_error_before_connected(exc)
        _wait_where_refused(exc)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, for ever; a broker that is back after hours is seen at once, not half a minute later."""
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT)
        make_loud(conn)
        return super().ensure_connected(conn)

    def connect(self) -> Any:
        """Connect; where queues are missing that Celery will make anew, their messages are looked for in the rows."""
        connection = super().connect()
        if not is_in_memory(self.app) and (lost := missing(connection)):
            log.warning("messages_lost", queues=lost, next="every run is looked for soon after it is due")
            with suppress(DatabaseError):
                expect_all(self.app.services.engine)
        return connection

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep what Celery would acknowledge and forget."""
        quarantine(self.app.producer_pool, message, f"the body can't be decoded ({type(exc).__name__})")

    def on_unknown_message(self, body: object, message: Message) -> None:
        """Keep what Celery would reject."""
        quarantine(self.app.producer_pool, message, "it is not a task message")

    def on_unknown_task(self, body: object, message: Message, exc: Exception) -> None:
        """Keep what Celery would reject."""
        quarantine(self.app.producer_pool, message, "its task is unknown")

    def on_invalid_task(self, body: object, message: Message, exc: Exception) -> None:
        """Keep what Celery would reject."""
        quarantine(self.app.producer_pool, message, f"it is not a valid task message ({type(exc).__name__})")


def _wait_where_refused(exc: Exception) -> None:
    if isinstance(exc, IrrecoverableChannelError | IrrecoverableConnectionError):
        log.error("broker_refuses", reason=type(exc).__name__, next=f"tries again in {REFUSED_SECONDS} s")
        time.sleep(REFUSED_SECONDS)


def _why_unreadable(message: Message) -> str | None:
    """Say what is wrong with a task message of protocol 2 (Celery's documentation, "Message Protocol").

    Whatever Celery would act on beside the task itself is refused: workflows, times and limits. A worker would
    hold such a message in its memory, drop it, or stop.
    """
    headers = as_mapping(message.headers)
    if UNREADABLE in headers:
        return str(headers[UNREADABLE])
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
    body = body_bytes(message.body)
    try:
        arguments = json.loads(body)
    except (ValueError, RecursionError):
        return "its body is not JSON"
    if not is_nested_at_most(arguments, MAX_TASK_NESTING):
        return "its body is nested too deep"
    if b"__type__" in body and not _can_be_revived(body):
        return "its body holds an object that Celery can't make"
    return _why_no_arguments(message.headers["task"], arguments)


def _why_no_arguments(task: str, arguments: object) -> str | None:
    match arguments:
        case [list() as args, dict() as fields, dict() | None as embedded]:
            if any((embedded or {}).values()):
                return "it is part of a workflow"
            if task == RECONSTRUCT_TASK:
                return "it has an argument `self`" if "self" in fields else None
            return None if is_step_ticket(args, fields) else "it does not name a version of a job"
    return "its body is not [args, kwargs, embed]"


def _can_be_revived(body: bytes) -> bool:
    """Tell whether kombu can read what its encoder writes for a UUID or a date; a task whose body it can't is lost."""
    try:
        revive(body)
    except Exception:  # It calls what the body names with what the body has.
        return False
    return True
