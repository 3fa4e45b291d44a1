"""Messages that are published together wait once for the broker, which says of each what becomes of it."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from amqp import Channel
from kombu import Connection, Exchange, Queue
from kombu.pools import ProducerPool

from tests.support.services.proxy import Proxy, Way
from tests.support.services.rabbitmq import PrivateRabbit
from worker.broker.batches import Batches
from worker.broker.publishing import Publication, publish
from worker.broker.topology import CONFIRMED, CONNECTION, PUBLISH_ERRORS

HEARD, UNHEARD, FULL = "heard", "unheard", "full"
FULL_AFTER = 2


@pytest.fixture
def proxy(rabbitmq: PrivateRabbit) -> Iterator[Proxy]:
    """Provide what is between us and the broker."""
    with Proxy(rabbitmq.port) as between:
        yield between


@pytest.fixture
def broker(vhost_url: str) -> Iterator[Connection]:
    """Provide a broker that has a queue, one that is soon full, and an exchange for both."""
    exchange = Exchange("x", type="topic", durable=True)
    few = {"x-max-length": FULL_AFTER, "x-overflow": "reject-publish"}
    with Connection(vhost_url) as connection:
        channel: Any = connection.channel()
        for queue in (
            Queue(HEARD, exchange, HEARD, durable=True),
            Queue(FULL, exchange, FULL, durable=True, queue_arguments=few),
        ):
            queue(channel).declare()
        yield connection


@pytest.fixture
def producers(broker: Connection, rabbitmq: PrivateRabbit, proxy: Proxy, vhost: str) -> Iterator[ProducerPool]:
    """Provide what publishes there as the service does."""
    url = rabbitmq.url_of(vhost, port=proxy.port)
    connections = Connection(url, transport_options={**CONNECTION, "connect_timeout": 1}).Pool(limit=2)
    yield ProducerPool(connections, limit=2)
    connections.force_close_all()


def written(key: str, exchange: str = "x", **more: str) -> Publication:
    """Return a message to whom a routing key leads."""
    form = {"content_type": "application/json", "content_encoding": "utf-8", "headers": {"of": "us"}}
    how = {"exchange": exchange, "routing_key": key, "message_id": str(uuid4()), **form, **more}
    return Publication(b'{"key": "%s"}' % key.encode(), how)


def heard(broker: Connection) -> list[str]:
    """Take what lies in the queue, as the ids of its messages."""
    channel: Any = broker.default_channel
    found = []
    while message := channel.basic_get(HEARD, no_ack=True):
        found.append(message.properties["message_id"])
    return found


def ids(publications: list[Publication]) -> list[str]:
    """Return the ids of messages."""
    return [each.how["message_id"] for each in publications]


def test_a_batch_is_published_in_its_order(broker: Connection, producers: ProducerPool) -> None:
    """One batch after the other, whole."""
    batches, sent = Batches(producers), [written(HEARD) for _ in range(250)]
    for begin in (0, 100, 101, 250):
        end = {0: 100, 100: 101, 101: 250, 250: 250}[begin]
        assert list(batches.publish(sent[begin:end])) == [True] * (end - begin)
    assert heard(broker) == ids(sent)


def test_each_message_is_told_from_the_others(broker: Connection, producers: ProducerPool) -> None:
    """No queue takes this one, a queue has no room for that one, and all others are where they belong."""
    batches = Batches(producers)
    keys = [HEARD, UNHEARD, FULL, HEARD, FULL, FULL, UNHEARD, HEARD]
    sent = [written(key) for key in keys]
    fates = batches.publish(sent)
    told = [fate if isinstance(fate, bool) else type(fate).__name__ for fate in fates]
    assert told == [True, False, True, True, True, "MessageNacked", False, True]
    assert heard(broker) == [each.how["message_id"] for each, key in zip(sent, keys, strict=True) if key == HEARD]
    assert list(batches.publish([written(HEARD)])) == [True]


def test_one_that_the_broker_refuses_holds_no_other_up(broker: Connection, producers: ProducerPool) -> None:
    """The broker closes the channel, and does not say because of which message."""
    batches = Batches(producers)
    sent = [written(HEARD), written(HEARD, exchange="gone"), written(HEARD), written(UNHEARD)]
    fates = batches.publish(sent)
    assert [fate if isinstance(fate, bool) else type(fate).__name__ for fate in fates] == [
        True,
        "NotFound",
        True,
        False,
    ]
    assert set(heard(broker)) == {each.how["message_id"] for each in (sent[0], sent[2])}
    assert list(batches.publish([written(HEARD)])) == [True]


def test_a_connection_that_was_lost_is_made_anew(broker: Connection, producers: ProducerPool, proxy: Proxy) -> None:
    """Between two batches, or in the middle of one: what was not confirmed is published again."""
    batches, sent = Batches(producers), [written(HEARD) for _ in range(6)]
    assert list(batches.publish(sent[:2])) == [True, True]
    proxy.reset()
    assert list(batches.publish(sent[2:4])) == [True, True]
    published = Channel.basic_publish
    lost = iter([None, proxy.reset])

    def lose(*message: Any, **how: Any) -> None:
        published(*message, **how)
        (next(lost, None) or (lambda: None))()

    with patch.object(Channel, "basic_publish", lose):
        assert list(batches.publish(sent[4:])) == [True, True]
    assert list(dict.fromkeys(heard(broker))) == ids(sent)


def test_a_broker_that_does_not_answer_takes_none(
    broker: Connection, producers: ProducerPool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message is told so, within bounds, whatever the broker makes of it; once it answers, all is as before."""
    monkeypatch.setitem(CONFIRMED, "confirm_timeout", 0.5)
    batches, sent = Batches(producers), [written(HEARD) for _ in range(3)]
    assert list(batches.publish(sent[:1])) == [True]
    proxy.swallow(Way.REPLIES)
    fates = batches.publish(sent[1:])
    assert [isinstance(fate, PUBLISH_ERRORS) for fate in fates] == [True, True]
    proxy.heal()
    assert list(batches.publish(sent[1:])) == [True, True]
    assert list(dict.fromkeys(heard(broker))) == ids(sent)
    batches.close()


def test_it_is_written_as_one_that_goes_alone(broker: Connection, producers: ProducerPool) -> None:
    """What reads it can't tell them apart."""
    each = written(HEARD, correlation_id="theirs")
    publish(producers, each.body, **each.how)
    Batches(producers).publish([each])
    channel: Any = broker.default_channel
    alone, of_batch = (channel.basic_get(HEARD, no_ack=True) for _ in range(2))
    assert (of_batch.body, of_batch.properties) == (alone.body, alone.properties)
    assert of_batch.properties["delivery_mode"] == 2
