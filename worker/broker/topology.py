"""The names and shapes of exchanges, queues and the delay ladder. Builds values; declares only in ``declare``."""

import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from amqp.exceptions import AccessRefused, AMQPError, MessageNacked, NotAllowed, NotFound, PreconditionFailed
from kombu import Connection, Exchange, Queue
from kombu.exceptions import KombuError

from worker.broker.frames import tolerant_frames
from worker.errors import ConfigurationError
from worker.rules.asks import Ask
from worker.rules.lifecycle import Step

REQUESTS = "sam3d.requests"
INBOX = "sam3d.inbox"
DEAD = "sam3d.dead"
EVENTS = "sam3d.events"
RECONSTRUCT_TASK = "sam3d.reconstruct"
RECONSTRUCT_KEY = "reconstruct"
REQUESTS_KEY = "requests"
INBOX_KEY = "inbox"
INBOX_KEYS: Mapping[str, str] = {RECONSTRUCT_KEY: INBOX_KEY, **{ask.value: f"{INBOX_KEY}-{ask}" for ask in Ask}}
"""By which routing keys messages come to the inbox, and by which each comes again from the ladder."""

DEAD_KEY = "dead"

_RETRY: dict[str, Any] = {"max_retries": 1, "interval_start": 0.1, "interval_max": 1.0}

CONFIRMED: dict[str, Any] = {"retry": True, "retry_policy": _RETRY, "confirm_timeout": 10.0, "delivery_mode": 2}
"""How everything is published: persistent, confirmed, tried twice, never for long."""

PUBLISH_ERRORS = (KombuError, AMQPError, MessageNacked, OSError)
"""What publishing raises where the broker does not take a message."""

REFUSALS = (AccessRefused, NotAllowed)
"""Those that waiting does not help against: a wrong user, password, virtual host."""

CONNECTION: dict[str, Any] = {
    "confirm_publish": True,
    "connect_timeout": 5,
    "read_timeout": 10,
    "write_timeout": 10,
    # A broker whose machine is gone is noticed within 20 s, also by who only reads.
    "socket_settings": {
        socket.TCP_USER_TIMEOUT: 10_000,
        socket.TCP_KEEPIDLE: 10,
        socket.TCP_KEEPINTVL: 5,
        socket.TCP_KEEPCNT: 2,
    },
    "frame_handler": tolerant_frames,
    **_RETRY,  # Who is given a channel connects for it, and would do so for ever.
}
"""Bounds every wait on the broker, has each message confirmed, and lets none break the reading."""

RECONNECT: dict[str, Any] = {"interval_start": 1, "interval_step": 1, "interval_max": 5}
"""How often a process that can do nothing without the broker tries again, seconds."""

IN_MEMORY: dict[str, Any] = {"polling_interval": 0.1}
"""The in-memory broker is asked for messages; once a second, its default, makes a demo slow."""

LADDER = (1, 2, 3, 5, 8, 13, 21, 34, 60, 120, 300)
"""Seconds that a message can wait in the broker at a time; a longer wait is several of them."""

MAX_DELIVERIES = 10
"""How often a message is given to a worker again before it is taken for what kills the workers."""

AHEAD = 2
"""How many requests a process has in hand, each on a thread of its own: one may be of 16 MiB, and is soon accepted."""

_QUORUM = {"x-queue-type": "quorum"}

work_exchange = Exchange("sam3d", type="topic", durable=True)
inbox_exchange = Exchange(INBOX, type="topic", durable=True)
events_exchange = Exchange(EVENTS, type="topic", durable=True)

requests_queue = Queue(REQUESTS, Exchange(REQUESTS, type="direct", durable=True), REQUESTS, durable=True)
"""Declared as a plain Celery producer declares it, or that producer would be refused."""

_WORKED_ON = {
    **_QUORUM,
    "x-delivery-limit": MAX_DELIVERIES,
    "x-dead-letter-exchange": work_exchange.name,
    "x-dead-letter-routing-key": DEAD_KEY,
    # A message that is dead-lettered is not lost where the dead letters can't take it just then.
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
"""A queue that workers read: what kills them again and again ends in the dead letters."""

# Looking at the dead letters delivers them; RabbitMQ 4 would drop one that was looked at twenty times.
_LOOKED_AT = {**_QUORUM, "x-delivery-limit": 1_000_000_000}

inbox_queue = Queue(INBOX, inbox_exchange, RECONSTRUCT_KEY, durable=True, queue_arguments=_WORKED_ON)
dead_queue = Queue(DEAD, work_exchange, DEAD_KEY, durable=True, queue_arguments=_LOOKED_AT)


def queue_name(step: Step) -> str:
    """Return the queue that a step's messages are consumed from."""
    return f"sam3d.{step}"


step_queues = {
    step: Queue(queue_name(step), work_exchange, step.value, durable=True, queue_arguments=_WORKED_ON) for step in Step
}


def delay_exchange(seconds: int) -> Exchange:
    """Return the exchange whose messages come back to ``sam3d`` after so many seconds, their routing key kept."""
    return Exchange(f"sam3d.delay.{seconds}", type="fanout", durable=True)


def delay_queue(seconds: int) -> Queue:
    """Return the queue in which they wait; nobody consumes it."""
    arguments = {
        **_QUORUM,
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": work_exchange.name,
        # A request waits here while the database is away, and is nowhere else then.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return Queue(f"sam3d.delay.{seconds}", delay_exchange(seconds), "", durable=True, queue_arguments=arguments)


def ladder_step(delay: timedelta) -> int:
    """Round a delay down to a wait that the broker offers, at least one second."""
    return max((step for step in LADDER if step <= delay.total_seconds()), default=LADDER[0])


def declare(connection: Connection) -> None:
    """Declare everything; safe to run twice, and when only a part of it is missing.

    Raises:
        ConfigurationError: names what is there in another shape; all the rest is declared.
    """
    parts: list[Exchange | Queue] = [work_exchange, events_exchange, *queues()]
    refused: list[Exchange | Queue] = []
    channel: Any = connection.channel()
    for part in parts:
        try:
            part(channel).declare()
        except PreconditionFailed:
            refused.append(part)
            channel = connection.channel()  # The broker has closed the other one.
    # A request that has to wait comes back from the ladder, through the exchange of the work.
    requests_queue(channel).bind_to(exchange=work_exchange, routing_key=REQUESTS_KEY)
    for key, again in INBOX_KEYS.items():
        inbox_queue(channel).bind_to(exchange=inbox_exchange, routing_key=key)
        inbox_queue(channel).bind_to(exchange=work_exchange, routing_key=again)
    channel.close()
    if refused:
        raise ConfigurationError(_in_another_shape(refused[0]))


def declare_if_new(connection: Connection) -> None:
    """Declare everything unless workers have: who only sends and listens needs no right to configure then.

    Raises:
        ConfigurationError: something is there in another shape.
    """
    if not all(_exists(connection, part) for part in (inbox_exchange, inbox_queue, events_exchange)):
        declare(connection)


def require(connection: Connection) -> None:
    """Check that everything is there, in the shape that it has here; nothing is declared.

    Raises:
        ConfigurationError: names what is missing and what declares it, or what is in another shape.
    """
    exchanges: list[Any] = [work_exchange, events_exchange, *(queue.exchange for queue in queues())]
    parts = [*{each.name: each for each in exchanges}.values(), *queues()]
    lost = [part.name for part in parts if not _exists(connection, part)]
    if lost:
        raise ConfigurationError(_lacking(lost))
    for part in parts:
        _require_shape(connection, part)


def _lacking(lost: Sequence[str]) -> str:
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    return f"The broker lacks {', '.join(lost[:NAMED])}{more}: start a worker or a scheduler, which declare it."


NAMED = 3
"""How many of the missing parts an error names; on a new broker all are missing."""


def _exists(connection: Connection, part: Exchange | Queue) -> bool:
    try:
        with connection.channel() as channel:
            _look(part, channel, passive=True)
    except NotFound:  # The broker has closed the channel.
        return False
    return True


def _require_shape(connection: Connection, part: Exchange | Queue) -> None:
    """Declare what is there once more, which changes nothing: only so the broker tells of another shape."""
    try:
        with connection.channel() as channel:
            _look(part, channel, passive=False)
    except PreconditionFailed:
        raise ConfigurationError(_in_another_shape(part)) from None


def _look(part: Exchange | Queue, channel: Any, *, passive: bool) -> None:
    bound: Any = part(channel)
    look = bound.queue_declare if isinstance(part, Queue) else bound.declare
    look(passive=passive)


def queues() -> list[Queue]:
    """Return every queue of ours, the ladder's as well."""
    delays = [delay_queue(seconds) for seconds in LADDER]
    return [requests_queue, inbox_queue, dead_queue, *step_queues.values(), *delays]


@dataclass(frozen=True)
class QueueLoad:
    """How many messages wait in a queue, about as many as there were some seconds ago, and how many read it."""

    messages: int
    readers: int
    is_after_loss: bool = False  # Queues were not there when they were looked for last.

    @property
    def is_unread(self) -> bool:
        """Whether something waits there that nobody takes."""
        return self.messages > 0 and not self.readers


def loads(connection: Connection, lost: Collection[str] = ()) -> Mapping[str, QueueLoad]:
    """Return the loads of the queues that workers read, by name; ``lost`` are queues that had to be made anew."""
    channel: Any
    names = [REQUESTS, INBOX, *(queue.name for queue in step_queues.values())]
    with connection.channel() as channel:
        found = {name: channel.queue_declare(name, passive=True) for name in names}
    return {name: QueueLoad(each.message_count, each.consumer_count, bool(lost)) for name, each in found.items()}


def missing(connection: Connection) -> Sequence[str]:
    """Name the queues of steps and delays that are not there: the messages in them are lost."""
    queues = [*step_queues.values(), *(delay_queue(seconds) for seconds in LADDER)]
    return [queue.name for queue in queues if not _exists(connection, queue)]


def _in_another_shape(part: Exchange | Queue) -> str:
    kind, when = ("queue", " once it is empty") if isinstance(part, Queue) else ("exchange", "")
    return f"The {kind} {part.name} is in the broker with other arguments: delete it{when}; it is declared anew."
