"""The message of a step: what our workers take, sent without Celery."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from kombu import Connection, Queue
from kombu.message import Message
from kombu.pools import ProducerPool

from worker.broker.delivery import body_bytes
from worker.broker.next_message import publish_step
from worker.broker.publishing import Unroutable
from worker.broker.topology import declare, delay_queue, step_queues
from worker.intake.admission import passed_on, read_arguments, require_admissible
from worker.rules.lifecycle import NOW, FollowUp, Step, Ticket

TICKET = Ticket("6f6f0f0f-0000-4000-8000-000000000001", 7)


@pytest.fixture
def broker() -> Iterator[Connection]:
    """Provide a broker within this process that has our queues."""
    with Connection(f"memory://{uuid4().hex}") as connection:
        declare(connection)
        yield connection


@pytest.fixture
def producers(broker: Connection) -> ProducerPool:
    """Provide what publishes there."""
    return ProducerPool(broker.Pool(limit=1), limit=1)


def take(broker: Connection, queue: Queue) -> Message:
    """Take the one message of a queue."""
    message = queue(broker.channel()).get(no_ack=True)
    assert message
    return message


@pytest.mark.parametrize("step", Step)
def test_a_worker_takes_it(broker: Connection, producers: ProducerPool, step: Step) -> None:
    """It passes the check that every task message has to pass, and says which version of which job."""
    publish_step(producers, FollowUp(step, TICKET, NOW), is_embedded=False)
    message = take(broker, step_queues[step])
    require_admissible(message.headers, message.content_type)
    fields = read_arguments(message.headers["task"], body_bytes(message.body))
    assert fields == ([], {"job_id": TICKET.job_id, "version": TICKET.version})
    assert passed_on(message.headers) == message.headers  # Nothing that Celery would not get.
    assert message.properties["correlation_id"] == message.headers["id"]


def test_it_waits_in_the_ladder(broker: Connection, producers: ProducerPool) -> None:
    """As long as the longest wait that the broker offers and that is not too long; it keeps its way."""
    publish_step(producers, FollowUp(Step.POLL, TICKET, timedelta(seconds=9)), is_embedded=False)
    message = take(broker, delay_queue(8))
    assert message.delivery_info["routing_key"] == Step.POLL
    assert "eta" not in message.headers


def test_a_worker_of_an_embedded_service_holds_it(broker: Connection, producers: ProducerPool) -> None:
    """The broker within the process has no ladder."""
    publish_step(producers, FollowUp(Step.POLL, TICKET, timedelta(seconds=9)), is_embedded=True)
    eta = datetime.fromisoformat(take(broker, step_queues[Step.POLL]).headers["eta"])
    assert timedelta(0) < eta - datetime.now(UTC) <= timedelta(seconds=9)


def test_each_message_has_a_name_of_its_own(broker: Connection, producers: ProducerPool) -> None:
    """By which logs and dead letters tell it from another of the same job."""
    for _ in range(2):
        publish_step(producers, FollowUp(Step.FETCH, TICKET, NOW), is_embedded=False)
    first, second = (take(broker, step_queues[Step.FETCH]).headers["id"] for _ in range(2))
    assert first != second


def test_a_message_that_nobody_takes_is_told(producers: ProducerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep has to come for its job."""
    monkeypatch.setattr("worker.broker.publishing.publish", lambda *_, **__: False)
    with pytest.raises(Unroutable):
        publish_step(producers, FollowUp(Step.POLL, TICKET, NOW), is_embedded=False)
