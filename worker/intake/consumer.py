"""The worker's edge to the broker: what Celery may have; what it would drop or stumble over is quarantined."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from amqp.exceptions import IrrecoverableChannelError, IrrecoverableConnectionError
from celery import bootsteps
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.request import Request as CeleryRequest
from kombu import Consumer as KombuConsumer
from kombu.message import Message

from worker.broker.connection import why
from worker.broker.delivery import as_mapping, body_bytes
from worker.broker.frames import leave_encoded
from worker.broker.quarantine import DELIVERIES, publish_again, quarantine
from worker.broker.topology import AHEAD, MAX_DELIVERIES, PUBLISH_ERRORS, RECONNECT, REQUESTS, missing
from worker.database.engine import DatabaseError
from worker.intake.admission import is_sent, passed_on, read_arguments, require_admissible
from worker.intake.hearing import Hearing, make_loud
from worker.intake.redelivery import (
    Losses,
    is_back,
    number_of_deliveries,
    request_of,
    tell_sender,
    why_given_up,
)
from worker.log import Log
from worker.rules.untrusted import Unreadable
from worker.telemetry import watchdog
from worker.work.expecting import expect_all

REFUSED_SECONDS = 5

log = Log(__name__)


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


class QueueConsumer(KombuConsumer):
    """Reads few requests ahead, and of the other queues a message for each slot; a queue's prefetch is its own."""

    def __init__(self, *args: Any, slots: int, **more: Any) -> None:
        super().__init__(*args, **more)
        self._slots = slots
        leave_encoded(self.channel)

    def _basic_consume(self, queue: Any, *args: Any, **more: Any) -> Any:
        self.qos(prefetch_count=AHEAD if queue.name == REQUESTS else self._slots)
        return super()._basic_consume(queue, *args, **more)


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
        if self.app.services.settings.broker.is_embedded:
            return receive

        def receive_checked(message: Message) -> None:
            self.hearing.hear(message)
            if is_back(message) and not self.losses.is_recent:
                self._count(message)
                return
            try:
                _admit(message)
            except Unreadable as error:
                quarantine(self.app.producer_pool, message, str(error))
            else:
                self._hand_over(message, receive)

        return receive_checked

    def update_strategies(self) -> None:
        """Have Celery's slower tracer run the tasks: what escapes it is acknowledged and seen, and no slot is lost."""
        self.app.use_fast_trace_task = False
        super().update_strategies()

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
            tell_sender(self.app.services, message, request_of(message), why)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Remember that what comes back now had been on its way."""
        self.losses.note()
        super().on_connection_error_after_connected(exc)
        self._wait_where_refused(exc)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Wait for a broker that refuses: its virtual host is made anew, or its password was changed before ours."""
        super().on_connection_error_before_connected(exc)
        self._wait_where_refused(exc)

    def _wait_where_refused(self, exc: Exception) -> None:
        if isinstance(exc, IrrecoverableChannelError | IrrecoverableConnectionError):
            reason = why(exc, self.app.services.settings.broker.url)
            log.error("broker_refuses", reason=reason, next=f"tries again in {REFUSED_SECONDS} s")
            time.sleep(REFUSED_SECONDS)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, for ever; a broker that is back after hours is seen at once, not half a minute later."""
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT)
        make_loud(conn)
        return super().ensure_connected(conn)

    def connect(self) -> Any:
        """Connect; where queues are missing that Celery will make anew, their messages are looked for in the rows."""
        connection = super().connect()
        if not self.app.services.settings.broker.is_embedded and (lost := missing(connection)):
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


def _admit(message: Message) -> None:
    """Check a task message, and give it the payload that Celery would read of its body.

    Raises:
        Unreadable: Celery may not have it; says why.
    """
    headers = as_mapping(message.headers)
    require_admissible(headers, message.content_type)
    payload = [None] if is_sent(headers) else [*read_arguments(headers["task"], body_bytes(message.body)), {}]
    message._decoded_cache = payload  # type: ignore[attr-defined]  # noqa: SLF001


class Request(CeleryRequest):
    """A task message as Celery has it: the headers and the arguments that were checked, and nothing else of it.

    A request's body is read by its task, on a thread: here, in Celery's loop, a large one would hold all others up.
    """

    def __init__(self, message: Message, **more: Any) -> None:
        headers = as_mapping(message.headers)
        body = [[message], {}, {}] if is_sent(headers) else message.payload
        checked = headers if more["app"].services.settings.broker.is_embedded else passed_on(headers)
        super().__init__(message, **{**more, "headers": checked, "body": body, "decoded": True})
