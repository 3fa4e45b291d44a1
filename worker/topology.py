"""The names and shapes of exchanges, queues and the delay ladder. Builds values; declares only in ``declare``."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from amqp.exceptions import AMQPError, MessageNacked
from kombu import Connection, Exchange, Queue
from kombu.exceptions import KombuError

from worker.lifecycle import Step

REQUESTS = "sam3d.requests"
INBOX = "sam3d.inbox"
DEAD = "sam3d.dead"
EVENTS = "sam3d.events"
RECONSTRUCT_TASK = "sam3d.reconstruct"
RECONSTRUCT_KEY = "reconstruct"
REQUESTS_KEY = "requests"
INBOX_KEY = "inbox"

DEAD_KEY = "dead"

CONFIRMED: dict[str, Any] = {
    "retry": True,
    "retry_policy": {"max_retries": 2, "interval_start": 0.1, "interval_max": 1.0},
    "confirm_timeout": 15.0,
    "delivery_mode": 2,
}
"""How everything is published: persistent, confirmed, tried a few times, never for long."""

PUBLISH_ERRORS = (KombuError, AMQPError, MessageNacked, OSError)
"""What publishing raises where the broker does not take a message."""

CONNECTION: dict[str, Any] = {"confirm_publish": True, "read_timeout": 30, "write_timeout": 15, "connect_timeout": 5}
"""Bounds every wait on the broker, and has each message confirmed."""

IN_MEMORY: dict[str, Any] = {"polling_interval": 0.1}
"""The in-memory broker is asked for messages; once a second, its default, makes a demo slow."""

LADDER = (1, 2, 3, 5, 8, 13, 21, 34, 60, 120, 300)
"""Seconds that a message can wait in the broker at a time; a longer wait is several of them."""

_QUORUM = {"x-queue-type": "quorum"}

work_exchange = Exchange("sam3d", type="topic", durable=True)
inbox_exchange = Exchange(INBOX, type="topic", durable=True)
events_exchange = Exchange(EVENTS, type="topic", durable=True)

requests_queue = Queue(REQUESTS, Exchange(REQUESTS, type="direct", durable=True), REQUESTS, durable=True)
"""Declared as a plain Celery producer declares it, or that producer would be refused."""

inbox_queue = Queue(INBOX, inbox_exchange, RECONSTRUCT_KEY, durable=True, queue_arguments=_QUORUM)
dead_queue = Queue(DEAD, work_exchange, DEAD_KEY, durable=True, queue_arguments=_QUORUM)


def queue_name(step: Step) -> str:
    """Return the queue that a step's messages are consumed from."""
    return f"sam3d.{step}"


step_queues = {
    step: Queue(queue_name(step), work_exchange, step.value, durable=True, queue_arguments=_QUORUM) for step in Step
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
    """Declare everything; safe to run twice, and when only a part of it is missing."""
    with connection.channel() as channel:
        queues: Sequence[Queue] = (requests_queue, inbox_queue, dead_queue, *step_queues.values())
        for exchange in (work_exchange, inbox_exchange, events_exchange):
            exchange(channel).declare()
        for queue in (*queues, *(delay_queue(seconds) for seconds in LADDER)):
            queue(channel).declare()
        # A request that has to wait comes back from the ladder, through the exchange of the work.
        requests_queue(channel).bind_to(exchange=work_exchange, routing_key=REQUESTS_KEY)
        inbox_queue(channel).bind_to(exchange=work_exchange, routing_key=INBOX_KEY)
