"""A consumer that the broker ends is noticed, whoever swallows the news."""

from collections.abc import Iterator
from typing import Any

import pytest
from amqp.exceptions import ConsumerCancelled
from celery.worker import loops
from kombu import Connection, Consumer, Queue
from kombu.message import Message

from worker.intake import hearing
from worker.intake.hearing import Hearing, make_loud

QUEUE = "heard"
first_look: Any = vars(loops)["_quick_drain"]


@pytest.fixture
def connection(vhost_url: str) -> Iterator[Connection]:
    """Provide a connection."""
    with Connection(vhost_url, connect_timeout=5) as opened:
        yield opened


@pytest.fixture
def consumer(connection: Connection) -> Consumer:
    """Provide a consumer that reads a queue and is given one message at a time."""
    made = Consumer(connection, [Queue(QUEUE, durable=True)], on_message=lambda _: None, prefetch_count=1)
    made.consume()
    return made


def delete_queue(url: str) -> None:
    """Delete the queue, as an operator can."""
    with Connection(url) as other:
        channel: Any = other.default_channel
        channel.queue_delete(QUEUE)


def test_the_end_of_a_consumer_is_loud(connection: Connection, consumer: Consumer, vhost_url: str) -> None:
    """Celery's first look swallows it as the library tells it, and not as a loud connection does."""
    make_loud(connection)
    delete_queue(vhost_url)
    with pytest.raises(ConnectionResetError, match="ConsumerCancelled"):
        first_look(connection, timeout=5)
    assert consumer.consuming_from(QUEUE)  # Kombu still thinks so.


def test_a_swallowed_end_is_seen_in_our_books(connection: Connection, consumer: Consumer, vhost_url: str) -> None:
    """Whoever caught the error: the next beat raises."""
    watched = Hearing()
    watched.require([consumer])
    delete_queue(vhost_url)
    with pytest.raises(ConsumerCancelled):
        connection.drain_events(timeout=5)
    with pytest.raises(ConnectionResetError, match="has ended the consumer of heard"):
        watched.require([consumer])


def test_a_queue_that_has_messages_and_gives_none_is_missed(
    connection: Connection, consumer: Consumer, vhost_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time it is seen; not while something is being worked on, nor where it was only quiet."""
    monkeypatch.setattr(hearing, "ASKED_EVERY", 0.0)
    watched = Hearing()
    received: list[Any] = []

    def receive(message: Message) -> None:
        received.append(message)
        watched.hear(message)

    consumer.on_message = receive
    for _ in range(3):
        watched.require([consumer])
    with Connection(vhost_url) as other:
        for number in range(2):
            other.Producer().publish(number, routing_key=QUEUE)
    while not received:
        connection.drain_events(timeout=5)
    for _ in range(3):
        watched.require([consumer])  # One is in hand, so the other one has to wait.
    received[0].reject()
    received.pop()
    while not received:
        connection.drain_events(timeout=5)
    received[0]._state = "ACK"  # The broker was not told: it gives no more, though our hands are empty.
    other_message(vhost_url)
    watched.require([consumer])
    watched.require([consumer])
    with pytest.raises(ConnectionResetError, match="nothing comes from heard"):
        watched.require([consumer])


def other_message(url: str) -> None:
    """Put one more into the queue."""
    with Connection(url) as other:
        other.Producer().publish("more", routing_key=QUEUE)


def test_a_queue_that_is_gone_is_missed(consumer: Consumer, vhost_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the news of it was read."""
    monkeypatch.setattr(hearing, "ASKED_EVERY", 0.0)
    delete_queue(vhost_url)
    with pytest.raises((ConnectionResetError, ConsumerCancelled)):
        Hearing().require([consumer])
