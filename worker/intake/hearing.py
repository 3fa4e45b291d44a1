"""Whether a process hears the queues that it reads; one that does not gives its connection up and makes another.

And what its probe looks at: the connections that it has, never a new one for each look.
"""

import errno
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakSet

from amqp.exceptions import AMQPError
from kombu import Connection, Consumer
from kombu.message import Message

from worker.log import Log
from worker.telemetry import watchdog

ASKED_EVERY = 5.0
"""Seconds after which the broker is asked; what it says twice in a row counts."""

log = Log(__name__)

Subscription = tuple[str, str, Any]
"""A queue, the consumer's tag, and the channel that it is read by."""


def make_loud(connection: Connection) -> None:
    """Have what the broker says against a connection arrive as an error that nobody overlooks.

    Celery's first look at a new connection (``celery.worker.loops._quick_drain``) swallows every error without a
    number. If that is the end of a consumer, its queue is read no more, while the loop turns.
    """
    read: Callable[..., Any] = connection.drain_events

    def drain_events(*args: Any, **how: Any) -> Any:
        try:
            return read(*args, **how)
        except AMQPError as error:
            raise ConnectionResetError(errno.ECONNRESET, type(error).__name__) from error

    connection.drain_events = drain_events  # type: ignore[method-assign]


class Hearing:
    """Watches that what is read from one connection is heard: by our books each time, by the broker's now and then."""

    def __init__(self) -> None:
        self._channel: Any = None
        self._asks_at = time.monotonic() + ASKED_EVERY
        self._in_hand: defaultdict[str, WeakSet[Message]] = defaultdict(WeakSet)
        self._heard: set[str] = set()
        self._missed: frozenset[str] = frozenset()

    def hear(self, message: Message) -> None:
        """Note that a message came."""
        tag = str(message.delivery_info.get("consumer_tag"))
        self._heard.add(tag)
        self._in_hand[tag].add(message)

    def require(self, consumers: Iterable[Consumer]) -> None:
        """Check that each queue of these consumers is heard.

        Raises:
            ConnectionResetError: names the queues that are not; on the next connection they are.
        """
        subscribed = [tag for each in consumers for tag in tags(each)]
        if ended := [queue for queue, tag, channel in subscribed if tag not in channel.callbacks]:
            raise _deaf("the broker has ended the consumer of", ended)
        if time.monotonic() >= self._asks_at:
            self._ask(subscribed)

    def _ask(self, subscribed: Sequence[Subscription]) -> None:
        """Ask the broker what waits in the queues, as it may forget a consumer without a word.

        A queue that is deleted while it is subscribed to, and made anew, can have no consumer then, or one whose
        messages get lost within the broker (RabbitMQ 3.10.8; ``tests/faults/test_deafness.py`` meets both).
        """
        self._asks_at = time.monotonic() + ASKED_EVERY
        self._channel = self._channel or subscribed[0][2].connection.channel()
        missed = frozenset(queue for queue, tag, _ in subscribed if self._is_missed(queue) and not self._is_busy(tag))
        self._heard.clear()
        if twice := missed & self._missed:
            raise _deaf("nothing comes from", sorted(twice))
        self._missed = missed

    def _is_missed(self, queue: str) -> bool:
        """Tell whether a queue has messages for us, or does not know us. One without a leader says so for a moment."""
        try:
            told = self._channel.queue_declare(queue, passive=True)
        except AMQPError as error:  # Kombu's timers swallow those of a channel.
            raise _deaf(f"the broker says {type(error).__name__} of", [queue]) from error
        return bool(told.message_count or not told.consumer_count)

    def _is_busy(self, tag: str) -> bool:
        """Tell whether something came lately, or is still being worked on: then more may have to wait."""
        return tag in self._heard or not all(message.acknowledged for message in self._in_hand[tag])


def require_beating(names: Iterable[str]) -> None:
    """Check that loops turn which only do so while they hear the broker.

    Raises:
        ConnectionError: names those that do not.
    """
    if silent := [name for name in names if not watchdog.heart(name).is_beating]:
        raise ConnectionError(f"not connected: {', '.join(silent)}")


class Line:
    """A connection that is kept to ask the broker over; one that is lost is made anew with the next question."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def require(self) -> None:
        """Ask the broker for as little as it answers.

        Raises:
            PUBLISH_ERRORS: it does not answer.
        """
        channel: Any
        try:
            channel = self._connection.default_channel
            channel.basic_qos(0, 1, a_global=False)
        except BaseException:
            self._connection.collect()
            raise


def tags(consumer: Any) -> Sequence[Subscription]:
    """List what a consumer should read, each with the tag that kombu has for it, and py-amqp while it is read."""
    known: Mapping[str, str] = consumer._active_tags  # noqa: SLF001
    return [(queue.name, known.get(queue.name, ""), consumer.channel) for queue in consumer.queues]


def _deaf(why: str, queues: Sequence[str]) -> ConnectionResetError:
    log.warning("queue_unheard", why=why, queues=queues, next="connects anew, where they are heard again")
    return ConnectionResetError(errno.ECONNRESET, f"{why} {', '.join(queues)}")
