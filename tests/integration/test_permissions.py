"""The rights that SECURITY.md gives a producer are enough, and no more than it says."""

import re
import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from amqp.exceptions import AccessRefused
from kombu import Connection
from pydantic import SecretStr

from tests.documents import SECURITY
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.broker.topology import declare
from worker.client import Client
from worker.config.environment import Settings
from worker.errors import ConfigurationError, WaitTimeout

PHOTO = Path("worker/photos/cat.png")


@pytest.fixture
def shop_url(rabbitmq: PrivateRabbit, vhost: str, vhost_url: str) -> str:
    """Provide the address for a user with just these rights, in a virtual host that workers have used."""
    with Connection(vhost_url) as connection:
        declare(connection)
    [command] = re.findall(r"^\$ rabbitmqctl (set_permissions .*)$", SECURITY.read_text(), re.MULTILINE)
    user = f"shop-{vhost}"
    url = rabbitmq.create_user(vhost, user, "secret")
    rabbitmq.ctl(*(each.replace("VHOST", vhost) if each != "shop" else user for each in shlex.split(command)))
    return url


def test_a_producer_can_send_and_listen(shop_url: str, rabbitmq: PrivateRabbit, vhost: str) -> None:
    """With our client, which declares nothing but a queue of its own."""
    with Client(Settings().having(SAM3D_BROKER_URL=SecretStr(shop_url))) as client:
        client.submit(PHOTO)
        queued = {queue.name: queue for queue in rabbitmq.queues(vhost)}
        assert any(name.startswith("sam3d.client.") for name in queued)
        wait_until(
            lambda: {queue.name: queue.messages for queue in rabbitmq.queues(vhost)}["sam3d.inbox"] == 1, "it is there"
        )


def test_a_producer_can_ask(shop_url: str, rabbitmq: PrivateRabbit, vhost: str) -> None:
    """Each ask has a queue that takes it; nobody answers here."""
    with Client(Settings().having(SAM3D_BROKER_URL=SecretStr(shop_url))) as client:
        for ask in (client.status, client.cancel, client.retry):
            with pytest.raises(WaitTimeout):
                ask(str(uuid4()), timedelta(0))
        wait_until(
            lambda: {queue.name: queue.messages for queue in rabbitmq.queues(vhost)}["sam3d.inbox"] == 3,
            "they are there",
        )


def test_workers_of_the_last_release_take_no_asks(shop_url: str, vhost_url: str) -> None:
    """Whose queue is not bound for them: the client says so at once, and waits for nothing."""
    with Connection(vhost_url) as connection:
        channel: Any = connection.default_channel
        channel.queue_unbind("sam3d.inbox", "sam3d.inbox", "cancel")
    with Client(Settings().having(SAM3D_BROKER_URL=SecretStr(shop_url))) as client:
        with pytest.raises(ConfigurationError, match="no queue for `cancel`: start workers of this release"):
            client.cancel(str(uuid4()))
        with pytest.raises(WaitTimeout):
            client.status(str(uuid4()), timedelta(0))
        client.submit(PHOTO)


REFUSED: dict[str, Callable[[Any], object]] = {
    "reads requests": lambda channel: channel.basic_get("sam3d.requests"),
    "reads the inbox": lambda channel: channel.basic_get("sam3d.inbox"),
    "reads dead letters": lambda channel: channel.basic_get("sam3d.dead"),
    "deletes a queue": lambda channel: channel.queue_delete("sam3d.poll"),
    "purges a queue": lambda channel: channel.queue_purge("sam3d.poll"),
    "deletes an exchange": lambda channel: channel.exchange_delete("sam3d.events"),
    "makes a queue": lambda channel: channel.queue_declare("another"),
    "listens to the work": lambda channel: bind(channel, "sam3d"),
    "listens to the inbox": lambda channel: bind(channel, "sam3d.inbox"),
}


def bind(channel: Any, exchange: str) -> None:
    """Bind a queue of one's own to an exchange."""
    channel.queue_declare("sam3d.client.x", exclusive=True)
    channel.queue_bind("sam3d.client.x", exchange, "#")


@pytest.mark.parametrize("what", REFUSED.values(), ids=REFUSED)
def test_a_producer_can_do_nothing_else(shop_url: str, what: Callable[[Any], object]) -> None:
    """Not with what others sent, nor with what is ours."""
    with Connection(shop_url) as connection, pytest.raises(AccessRefused):
        what(connection.default_channel)


@pytest.mark.parametrize("exchange", ["sam3d", "sam3d.requests", "sam3d.events", "sam3d.delay.1", ""])
def test_a_producer_can_publish_nowhere_else(shop_url: str, exchange: str) -> None:
    """No step, no event; the default exchange reaches every queue by its name."""
    with (
        Connection(shop_url, transport_options={"confirm_publish": True}) as connection,
        connection.Producer() as producer,
        pytest.raises(AccessRefused),
    ):
        producer.publish("{}", exchange=exchange, routing_key="sam3d.poll")
