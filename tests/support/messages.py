"""Messages as they are, however wrong: how a test sends them, and what became of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kombu import Connection, Producer

from tests.support.broken import Broken
from tests.support.deployment import Service
from tests.support.judge import tiny_image
from tests.support.services.rabbitmq import PrivateRabbit
from worker.broker.topology import CONNECTION, declare


@contextmanager
def publisher(deployment: Service) -> Iterator[Producer]:
    """Give a producer on the broker itself, whose queues are there."""
    with Connection(deployment.environment["SAM3D_BROKER_URL"], transport_options=CONNECTION) as connection:
        declare(connection)
        yield connection.Producer()


def publish(producer: Producer, exchange: str, key: str, message: Broken) -> None:
    """Publish a message as it is, however wrong."""
    how = {"content_type": "application/json", "content_encoding": "utf-8", **message.properties}
    producer.publish(message.body, exchange=exchange, routing_key=key, **how)


def count(rabbitmq: PrivateRabbit, deployment: Service, name: str) -> int:
    """Count the messages in a queue."""
    vhost = deployment.environment["SAM3D_BROKER_URL"].rpartition("/")[2]
    return next(queue.messages for queue in rabbitmq.queues(vhost) if queue.name == name)


def dead_letters(deployment: Service) -> list[dict[str, Any]]:
    """Read what an operator sees."""
    letters: list[dict[str, Any]] = json.loads(deployment.run("dead", "list", "--json").stdout)
    return letters


@pytest.fixture
def mallory(deployment: Service, rabbitmq: PrivateRabbit) -> Iterator[Producer]:
    """Provide the producer of a user who is not the service."""
    vhost = deployment.environment["SAM3D_BROKER_URL"].rpartition("/")[2]
    with Connection(rabbitmq.create_user(vhost, "mallory", "secret")) as connection:
        yield connection.Producer()
    rabbitmq.delete_users("mallory")


def plain(prompt: str, headers: dict[str, Any], **properties: Any) -> Broken:
    """Make a good request with bad headers."""
    body = json.dumps({"image": tiny_image(), "prompt": prompt, "idempotency_key": prompt}).encode()
    return Broken("", body, {"message_id": prompt, "headers": headers, **properties})
