"""The plain-JSON inbox: requests and asks from any language, read on a thread and a connection of its own."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from celery import Celery, bootsteps
from kombu import Connection, Consumer
from kombu.message import Message
from kombu.mixins import ConsumerMixin

from worker.broker.connection import why
from worker.broker.frames import leave_encoded
from worker.broker.quarantine import come_again, origin_of, quarantine, seen_for
from worker.broker.topology import DEAD, RECONNECT, delay_exchange, inbox_queue, ladder_step, work_exchange
from worker.database.engine import DatabaseError, describe
from worker.intake import reception
from worker.intake.envelope import open_message
from worker.intake.hearing import Hearing
from worker.intake.redelivery import (
    BROKE,
    COUNTED_BY_BROKER,
    Losses,
    comes_again,
    is_last,
    number_of_deliveries,
    tell_sender,
    why_given_up,
)
from worker.log import Log
from worker.rules.retry import BROKEN_WINDOW
from worker.rules.untrusted import Unreadable
from worker.telemetry import watchdog
from worker.work.running import go_on
from worker.work.services import Services

log = Log(__name__)


class _WorkerEnds(Exception):
    """There is nothing to connect for any more."""


class Inbox(ConsumerMixin):
    """Reads plain-JSON requests and asks on a thread and a connection of its own."""

    def __init__(self, app: Celery, services: Services, connection: Connection) -> None:
        self.connection = connection
        self._app = app
        self._services = services
        self._producers = app.producer_pool
        self._heart = watchdog.heart("inbox")
        self._losses, self._was_connected = Losses(), False
        self._hearing = Hearing()
        self._consumers: Sequence[Consumer] = ()

    def get_consumers(self, consumer_class: Callable[..., Any], channel: Any) -> list[Any]:
        """Consume the inbox."""
        leave_encoded(channel)
        return [
            consumer_class(
                [inbox_queue], on_message=self.receive, on_decode_error=self.on_decode_error, prefetch_count=1
            )
        ]

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep what kombu would log and forget."""
        quarantine(self._producers, message, f"the body can't be unpacked ({type(exc).__name__})")

    def on_connection_revived(self) -> None:
        """Remember that what comes back now had been on its way when the connection was lost."""
        if self._was_connected:
            self._losses.note()
        self._was_connected = True

    def on_consume_ready(self, connection: Any, channel: Any, consumers: Sequence[Consumer], **more: Any) -> None:
        """Know who has to go on reading; the in-memory broker forgets nobody."""
        self._hearing, self._consumers = Hearing(), () if self._services.settings.broker.is_embedded else consumers

    def on_iteration(self) -> None:
        """Show that the loop turns and hears; on a connection that is not read any more it does not go on."""
        if self._consumers:
            self._hearing.require(self._consumers)
        self._heart.beat()

    def receive(self, message: Message) -> None:
        """Take a request or an ask; it is acknowledged once that is committed or announced."""
        self._heart.beat()
        self._hearing.hear(message)
        if is_last(message):
            self._give_up(message)
            return
        try:
            with self._services.reading.taken(len(message.body or ""), self._heart.beat):
                envelope = open_message(message)
                origin = origin_of(message, self._producers, envelope.source)
                follow_up = reception.receive(self._services, envelope, origin, seen_for(message))
        except Unreadable as error:
            quarantine(self._producers, message, str(error))
        except Exception as error:  # The inbox goes on, whatever a message made of it.
            self._put_away(message, error)
        else:
            self._heart.beat()
            go_on(self._services, None, follow_up)
            message.ack()

    def _give_up(self, message: Message) -> None:
        """Put aside what kills one worker after the other; what only lost its connection each time begins anew."""
        if self._losses.is_recent:
            come_again(self._producers, message, work_exchange.name)
            return
        why = why_given_up(number_of_deliveries(message, COUNTED_BY_BROKER) + 1)
        if quarantine(self._producers, message, why):
            self._tell(message, why)

    def _tell(self, message: Message, why: str) -> None:
        try:
            opened = open_message(message)
        except Unreadable:  # Nobody knows whose it was.
            return
        tell_sender(self._services, message, opened, why)

    def _put_away(self, message: Message, error: Exception) -> None:
        """Let a request come again after an outage, and quarantine one that broke us."""
        self._heart.beat()
        if comes_again(error):
            log.warning("request_delayed", reason=describe(error), next="it comes again in 5 s")
            come_again(self._producers, message, delay_exchange(ladder_step(BROKEN_WINDOW)).name)
            return
        has_trace = not isinstance(error, DatabaseError)
        log.error("request_broke", reason=describe(error), next=f"it goes to {DEAD}", exc_info=has_trace)
        if quarantine(self._producers, message, BROKE):
            self._tell(message, BROKE)

    def run_on(self) -> None:
        """Read until told to stop, whatever a message does to the connection it came over."""
        while not self.should_stop:
            self._heart.beat()
            try:
                self.run()
            except _WorkerEnds:
                break
            except Exception as error:
                log.error("inbox_broke", reason=type(error).__name__, next="connects again in a second")
                time.sleep(1)
        self._heart.rest()

    def create_connection(self) -> Connection:
        """Return a connection that sees a broker that is back after hours within seconds; that wait is no stall."""
        self._heart.rest()
        connection: Any = super().create_connection()
        connection.ensure_connection = partial(connection.ensure_connection, callback=self._require_worker, **RECONNECT)
        return cast("Connection", connection)

    def _require_worker(self) -> None:
        """Give up a broker that is away, once a second, when the worker ends.

        Raises:
            _WorkerEnds: it does.
        """
        if self.should_stop:
            raise _WorkerEnds

    def on_connection_error(self, exc: Exception, interval: float) -> None:
        """Say it once a try; kombu tries again by itself."""
        reason = why(exc, self._services.settings.broker.url)
        log.warning("inbox_disconnected", reason=reason, next=f"tries again in {interval} s")


class InboxStep(bootsteps.StartStopStep):
    """Starts the inbox with the worker and ends it with the worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **more: Any) -> None:
        super().__init__(parent, **more)
        self._inbox: Inbox | None = None
        self._thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:
        """Start reading."""
        app = parent.app
        self._inbox = Inbox(app, app.services, app.connection_for_read())
        self._thread = threading.Thread(target=self._inbox.run_on, name="inbox", daemon=True)
        self._thread.start()

    def stop(self, parent: Any) -> None:
        """Let the message in hand be finished."""
        if self._inbox and self._thread:
            self._inbox.should_stop = True
            self._thread.join(timeout=30)
            self._inbox.connection.release()
