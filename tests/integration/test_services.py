"""The test services keep what they confirmed, and can be killed and frozen: the other tests rely on it."""

from collections.abc import Iterator
from contextlib import contextmanager

import kombu
import psycopg
import pytest
from kombu.transport.base import StdChannel

from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit

DRIVER = "postgresql+psycopg"


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection]:
    """Connect to a database with a time limit on every statement, committing each."""
    plain = url.replace(DRIVER, "postgresql")
    with psycopg.connect(plain, autocommit=True, connect_timeout=2) as connection:
        yield connection


@contextmanager
def channel(url: str) -> Iterator[StdChannel]:
    """Open a channel with publisher confirms."""
    with kombu.Connection(url, connect_timeout=1, transport_options={"confirm_publish": True}) as connection:
        yield connection.channel()


def publish_to(queue: kombu.Queue, url: str) -> None:
    """Declare the queue and publish one confirmed message to it."""
    with channel(url) as open_channel:
        queue(open_channel).declare()
        kombu.Producer(open_channel).publish({"number": 1}, routing_key=queue.name, delivery_mode=2)


def test_database_is_fresh(postgres: PrivatePostgres, database_url: str) -> None:
    """Each test has a database of its own, and a copy of a template has the template's tables."""
    with connected(database_url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
    template = database_url.rsplit("/", 1)[1]
    copy = postgres.create_database("a_copy", template=template)
    with connected(copy) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    postgres.drop_database("a_copy")
    with connected(postgres.url) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)


@pytest.mark.parametrize("immediate", [False, True])
def test_database_survives_a_stop(postgres: PrivatePostgres, database_url: str, *, immediate: bool) -> None:
    """What was committed is there after either kind of stop."""
    with connected(database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    postgres.stop(immediate=immediate)
    postgres.start()
    with connected(database_url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (1,)


def test_database_survives_a_kill(postgres: PrivatePostgres, database_url: str) -> None:
    """A killed server takes its connections along and keeps committed rows."""
    with connected(database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres.start()
    with connected(database_url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (1,)


def test_frozen_database_does_not_answer(postgres: PrivatePostgres, database_url: str) -> None:
    """Nothing answers while the server is frozen; the open connection works again afterwards."""
    with connected(database_url) as connection:
        postgres.freeze()
        with pytest.raises(psycopg.errors.ConnectionTimeout), connected(database_url):
            pytest.fail("connected to a frozen server")
        postgres.thaw()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_vhost_is_fresh(rabbitmq: PrivateRabbit, vhost_url: str) -> None:
    """Each test has a virtual host of its own, whose queues can be listed."""
    publish_to(kombu.Queue("here", durable=True, queue_arguments={"x-queue-type": "quorum"}), vhost_url)
    queues = rabbitmq.queues(vhost_url.rsplit("/", 1)[1])
    assert [(queue.name, queue.durable, queue.exclusive) for queue in queues] == [("here", True, False)]
    assert queues[0].arguments == {"x-queue-type": "quorum"}
    assert rabbitmq.queues() == []


def test_rabbitmqctl_speaks_to_the_private_node(rabbitmq: PrivateRabbit) -> None:
    """Alarms and the like are set through `rabbitmqctl`."""
    assert rabbitmq.name in rabbitmq.ctl("status")


def test_transient_shared_queue_is_told_apart(rabbitmq: PrivateRabbit) -> None:
    """A queue that is neither durable nor exclusive is found; RabbitMQ 4.3 would refuse it."""
    url = rabbitmq.create_vhost("forbidden")
    publish_to(kombu.Queue("transient", durable=False), url)
    assert [queue.is_transient_and_shared for queue in rabbitmq.queues("forbidden")] == [True]
    rabbitmq.delete_vhost("forbidden")


def test_broker_survives_a_kill(rabbitmq: PrivateRabbit, vhost_url: str) -> None:
    """A durable quorum queue has its confirmed message after the node was killed and started again."""
    queue = kombu.Queue("kept", durable=True, queue_arguments={"x-queue-type": "quorum"})
    publish_to(queue, vhost_url)
    rabbitmq.settle()
    rabbitmq.kill()
    with pytest.raises(ConnectionError), channel(vhost_url):
        pytest.fail("connected to a killed node")
    rabbitmq.start()
    with channel(vhost_url) as open_channel:
        message = queue(open_channel).get()
        assert message is not None
        assert message.payload == {"number": 1}
        message.ack()


def test_frozen_broker_does_not_answer(rabbitmq: PrivateRabbit, vhost_url: str) -> None:
    """Nothing answers while the node is frozen; the open channel works again afterwards."""
    queue = kombu.Queue("alive", durable=True)
    with channel(vhost_url) as open_channel:
        rabbitmq.freeze()
        with pytest.raises(TimeoutError), channel(vhost_url):
            pytest.fail("connected to a frozen node")
        rabbitmq.thaw()
        queue(open_channel).declare()
    assert [found.name for found in rabbitmq.queues(vhost_url.rsplit("/", 1)[1])] == ["alive"]
