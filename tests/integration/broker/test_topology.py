"""Who only looks declares nothing, and a worker declares nothing but what is ours."""

import json
from typing import Any

import pytest
from kombu import Connection

from tests.support.deployment import Service
from tests.support.running import deployment, simulator
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.broker import topology
from worker.errors import ConfigurationError

__all__ = ["deployment", "simulator"]


def test_whoever_only_looks_declares_nothing(deployment: Service, rabbitmq: PrivateRabbit, vhost: str) -> None:
    """The doctor names what is missing and who declares it; once it is there, all is well."""
    before = rabbitmq.exchanges(vhost)
    for command in (["dead", "list"], ["jobs"], ["budget"], ["config"], ["review"]):
        deployment.run(*command)
    found = diagnosis(deployment)
    assert found["queues"] == found["readers"]
    assert found["queues"].startswith("The broker lacks sam3d, ")
    assert "start a worker or a scheduler" in found["queues"]
    assert (rabbitmq.exchanges(vhost), rabbitmq.queues(vhost)) == (before, [])

    with Connection(deployment.environment["SAM3D_BROKER_URL"]) as connection:
        topology.declare(connection)
    there = (rabbitmq.exchanges(vhost), [queue.name for queue in rabbitmq.queues(vhost)])
    assert {diagnosis(deployment)[check] for check in ("queues", "readers")} == {"ok"}
    assert (rabbitmq.exchanges(vhost), [queue.name for queue in rabbitmq.queues(vhost)]) == there


def diagnosis(deployment: Service) -> dict[str, str]:
    """Return what the doctor finds, by check."""
    found = json.loads(deployment.run("doctor", "--json", check=False).stdout)
    return {each["check"]: each["result"] for each in found}


@pytest.mark.parametrize("name", ["sam3d", "sam3d.events", "sam3d.dead", "sam3d.poll", "sam3d.delay.300"])
def test_each_part_that_is_missing_is_named(vhost_url: str, name: str) -> None:
    """Also where it is the only one."""
    with Connection(vhost_url) as connection:
        topology.declare(connection)
        topology.require(connection)
        channel: Any = connection.channel()
        delete = channel.exchange_delete if name in {"sam3d", "sam3d.events"} else channel.queue_delete
        delete(name)
        with pytest.raises(ConfigurationError, match=f"The broker lacks {name}: start a worker"):
            topology.require(connection)


def test_another_shape_is_named(vhost_url: str) -> None:
    """As whoever declares it would find it."""
    with Connection(vhost_url) as connection:
        topology.declare(connection)
        channel: Any = connection.channel()
        channel.queue_delete("sam3d.poll")
        channel.queue_declare("sam3d.poll", durable=True, auto_delete=False)
        with pytest.raises(ConfigurationError, match=r"The queue sam3d\.poll is in the broker with other arguments"):
            topology.require(connection)


def test_a_worker_declares_what_is_ours_and_nothing_of_celerys(
    deployment: Service, rabbitmq: PrivateRabbit, vhost: str
) -> None:
    """No exchange for events, no mailbox for remote control; the connection that it reads from has its heartbeat."""
    before = set(rabbitmq.exchanges(vhost))
    deployment.start("worker", "worker")
    deployment.start("scheduler", "scheduler")
    wait_until(lambda: "worker_ready" in deployment.log_of("worker"), "the worker consumes")
    queues: list[Any] = topology.queues()
    made = set(rabbitmq.exchanges(vhost)) - before
    assert made == {queue.exchange.name for queue in queues} | {"sam3d", "sam3d.events"}
    assert {queue.name for queue in rabbitmq.queues(vhost)} == {queue.name for queue in queues}
    assert 20 in rabbitmq.heartbeats(vhost)
