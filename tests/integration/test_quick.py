"""One second of each service: they start, and one job goes all the way through them, in this process."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection, Consumer
from kombu.message import Message

from tests.support.in_process import PHOTO, row_of, settings_of
from worker.app import App, create_app
from worker.broker.delivery import body_bytes
from worker.broker.topology import declare, inbox_queue, step_queues
from worker.client import Client
from worker.intake.inbox import Inbox
from worker.simulator import Simulator


@pytest.fixture
def app(vhost_url: str, migrated_url: str, simulator: Simulator) -> Iterator[App]:
    """Provide an app on the real broker, whose messages the test takes from the queues itself."""
    built = create_app(settings_of(vhost_url, migrated_url, simulator))
    yield built
    built.close()


@pytest.mark.quick
def test_one_job_goes_through(app: App, vhost_url: str, simulator: Simulator, tmp_path: Path) -> None:
    """Sent over RabbitMQ, kept in PostgreSQL, made by the simulator; its end is heard, its model is a file."""
    with Connection(vhost_url) as connection, Client(app.services.settings) as client:
        declare(connection)
        job_id = client.submit(PHOTO)
        work_until_over(app, connection, job_id)
        assert client.wait(job_id).has_succeeded
        [model] = client.download(job_id, tmp_path)
    assert model.read_bytes().startswith(b"glTF")
    assert len(simulator.ledger()) == 1


def work_until_over(app: App, connection: Connection, job_id: str) -> None:
    """Take the request in and do its steps, one message after the other, until its job has ended."""
    inbox = Inbox(app, app.services, connection)

    def step(message: Message) -> None:
        app.tasks[message.headers["task"]](**json.loads(body_bytes(message.body))[1])
        message.ack()

    with (
        Consumer(connection, [inbox_queue], on_message=inbox.receive),
        Consumer(connection, [*step_queues.values()], on_message=step),
    ):
        connection.drain_events(timeout=10)
        while row_of(app, job_id)["state"] != "succeeded":
            connection.drain_events(timeout=10)
