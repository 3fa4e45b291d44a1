"""A queue that is deleted just as its consumer comes back: whoever reads it is never deaf for long."""

import os

import pytest

from tests.acceptance.conftest import Service
from tests.faults.conftest import start_all
from tests.faults.judge import Judge
from tests.services.rabbitmq import PrivateRabbit
from tests.waiting import wait_until
from worker.lifecycle import Step
from worker.topology import INBOX, REQUESTS, queue_name

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
