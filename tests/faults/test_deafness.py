"""A queue that is deleted just as its consumer comes back: whoever reads it is never deaf for long."""

import json
import os

import httpx
import pytest

from tests.support.deployment import Service, count_logged, start_all, start_worker
from tests.support.judge import Judge
from tests.support.services.ports import free_ports
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.broker.topology import INBOX, REQUESTS, queue_name
from worker.rules.lifecycle import Step

DELETIONS = int(os.environ.get("SAM3D_TEST_DELETIONS", "10"))
"""How often each queue is deleted; 100 for the full size."""

GRACE = 30.0
"""Within which a queue has its reader again, seconds: the promise for a broker that is back."""


@pytest.mark.parametrize("queue", [queue_name(Step.FETCH), REQUESTS, INBOX])
def test_a_queue_that_is_deleted_as_its_consumer_comes_back(
    deployment: Service, judge: Judge, rabbitmq: PrivateRabbit, queue: str
) -> None:
    """Each time it is read again within the grace, by the same process, and what comes after is done."""
    start_all(deployment)
    vhost = deployment.environment["SAM3D_BROKER_URL"].rpartition("/")[2]
    ids = judge.submit(4)
    judge.await_states(ids, "processing", "fetching", "succeeded")  # A request is nowhere but in its queue.
    worker = deployment.processes["worker"]
    for deletion in range(DELETIONS):
        assert rabbitmq.delete_queue_once_read(vhost, queue, GRACE), f"deaf after {deletion} deletions"
    wait_until(lambda: is_read(rabbitmq, vhost, queue), "the queue is read again", within=GRACE)
    judge.check([*ids, *judge.submit(4)], within=90)
    assert worker.poll() is None


def is_read(rabbitmq: PrivateRabbit, vhost: str, name: str) -> bool:
    """Tell whether a queue is there and has a consumer."""
    return any(queue.name == name and queue.consumers for queue in rabbitmq.queues(vhost))


def test_a_queue_that_nobody_reads_is_told_of(deployment: Service, judge: Judge) -> None:
    """By the scheduler's log and metrics while it lasts, and by the doctor; a worker ends it."""
    (port,) = free_ports(1)
    deployment.start("scheduler", "scheduler", SAM3D_HEALTH_PORT=str(port), SAM3D_SWEEP_GRACE="1")
    ids = judge.submit(2)
    wait_until(lambda: count_logged(deployment, "queue_unread"), "the scheduler warns")
    assert f'sam3d_queue_unread_seconds{{queue="{REQUESTS}"}}' in metrics(port)
    assert f"{REQUESTS}" in doctor(deployment)["readers"]

    start_worker(deployment)
    judge.check(ids)
    wait_until(lambda: "sam3d_queue_unread_seconds{" not in metrics(port), "nothing is left unread")
    assert doctor(deployment)["readers"] == "ok"


def metrics(port: int) -> str:
    """Return what a scheduler measures."""
    return httpx.get(f"http://127.0.0.1:{port}/metrics").text


def doctor(deployment: Service) -> dict[str, str]:
    """Return what the doctor finds, by check."""
    found = json.loads(deployment.run("doctor", "--json", check=False).stdout)
    return {each["check"]: each["result"] for each in found}
