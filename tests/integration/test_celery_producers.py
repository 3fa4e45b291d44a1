"""What a Celery app has to write that sends us tasks, whatever its own rights are: the contract's lines."""

import re
from typing import Any

import pytest
from amqp.exceptions import AccessRefused, PreconditionFailed
from celery import Celery
from celery.exceptions import QueueNotFound
from kombu import Connection

from tests.documents import CONTRACT, SECURITY, code_of
from tests.support.services.rabbitmq import PrivateRabbit
from worker.broker.topology import REQUESTS, declare

BY_NAME = 'app.send_task("sam3d.reconstruct", kwargs=fields, queue="sam3d.requests")'
SHAPES: dict[str, dict[str, Any]] = {
    "quorum": {"task_create_missing_queue_type": "quorum", "task_default_queue_type": "quorum"},
    "our queue as its default": {"task_default_queue_type": "quorum", "task_default_queue": "sam3d.requests"},
    "priorities": {"task_queue_max_priority": 10},
    "topic": {"task_create_missing_queue_exchange_type": "topic"},
    "none but its own": {"task_create_missing_queues": False},
}


@pytest.fixture
def used_url(vhost_url: str) -> str:
    """Provide a virtual host that workers have used."""
    with Connection(vhost_url) as connection:
        declare(connection)
    return vhost_url


def run(code: str, url: str, settings: dict[str, Any]) -> None:
    """Run a producer's lines in an app with these settings; what the broker refuses is raised."""
    app = Celery(broker=url, set_as_current=False)
    app.conf.update(settings, broker_transport_options={"confirm_publish": True})
    try:
        exec(code, {"app": app, "fields": {"image": "https://example.com/cup.jpg"}})
    finally:
        app.close()


def sent(url: str) -> list[str]:
    """Take the tasks that wait for a worker, by name."""
    with Connection(url) as connection:
        channel: Any = connection.default_channel
        return [each.headers["task"] for each in iter(lambda: channel.basic_get(REQUESTS, no_ack=True), None)]


@pytest.mark.parametrize("settings", SHAPES.values(), ids=SHAPES)
def test_an_app_with_queues_of_another_shape(used_url: str, settings: dict[str, Any]) -> None:
    """By its name alone the queue would be declared in that shape, which the broker refuses."""
    with pytest.raises((PreconditionFailed, QueueNotFound)):
        run(BY_NAME, used_url, settings)
    run(code_of(CONTRACT, "no_declare"), used_url, settings)
    assert sent(used_url) == ["sam3d.reconstruct"]


def test_the_same_lines_in_an_app_without_settings(used_url: str) -> None:
    """So whoever is not sure may write them; `task_default_queue_type` alone is of the queue of the app itself."""
    for settings in ({}, {"task_default_queue_type": "quorum"}):
        run(BY_NAME, used_url, settings)
        run(code_of(CONTRACT, "no_declare"), used_url, settings)
    assert len(sent(used_url)) == 4


def test_a_producer_that_may_only_write(used_url: str, rabbitmq: PrivateRabbit, vhost: str) -> None:
    """With the right that SECURITY.md names, and no other."""
    [right] = re.findall(r"`write` for `(\S+)` is all", SECURITY.read_text())
    user = f"celery-{vhost}"
    url = rabbitmq.create_user(vhost, user, "secret")
    rabbitmq.ctl("set_permissions", "-p", vhost, user, "^$", right, "^$")
    with pytest.raises(AccessRefused):
        run(BY_NAME, url, {})
    run(code_of(CONTRACT, "no_declare"), url, {})
    assert sent(used_url) == ["sam3d.reconstruct"]
