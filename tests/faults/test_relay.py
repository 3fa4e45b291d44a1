"""The outbox: an event goes out at least once and always under one id, whoever dies and whatever is away."""

from collections import Counter
from typing import Any

from kombu import Connection

from tests.support.deployment import IMPATIENT, Service, start_all, start_worker
from tests.support.judge import Judge
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from tests.support.witness import QUEUE
from worker.simulator import Simulator

DIES = {"SAM3D_FAILPOINTS": "publish.confirmed=kill"}


def test_killed_between_publish_and_mark(deployment: Service, judge: Judge) -> None:
    """The worker dies there, then a scheduler that relays its event; the next one sends the same id a third time."""
    deployment.start("worker", "worker", "--concurrency", "4", **DIES)
    ids = judge.submit(1)
    deployment.processes["worker"].wait(timeout=60)
    deployment.start("scheduler", "scheduler", **DIES).wait(timeout=60)
    start_all(deployment)
    judge.check(ids)
    (event,) = judge.rows(
        "SELECT id::text FROM events WHERE type = 'sam3d.reconstruction.accepted' AND duplicate_of IS NULL"
    )  # The request's message comes again as well, and is told so.
    deliveries = Counter(heard.id for heard in judge.witness.heard)
    assert deliveries[event["id"]] >= 3


def test_events_wait_for_the_broker(
    deployment: Service, simulator: Simulator, judge: Judge, rabbitmq: PrivateRabbit
) -> None:
    """Jobs that end while it is away are announced when it is back."""
    simulator.update(run_time=60)
    start_all(deployment)
    ids = judge.submit(3)
    judge.await_states(ids, "processing")
    rabbitmq.settle()
    rabbitmq.kill()
    cancelling = [deployment.start(f"cancel-{job_id}", "cancel", job_id, **IMPATIENT) for job_id in ids]
    for command in cancelling:
        command.wait(timeout=60)
    unpublished = "SELECT id FROM events WHERE type = 'sam3d.reconstruction.cancelled' AND published_at IS NULL"
    assert len(judge.rows(unpublished)) == len(ids)
    rabbitmq.start()
    judge.check(ids, ends_in={"cancelled"})


def test_events_that_nobody_hears_are_counted(deployment: Service, judge: Judge) -> None:
    """Without a queue an event counts as out; its row and a warning say that nobody heard it."""
    start_worker(deployment)
    with Connection(deployment.environment["SAM3D_BROKER_URL"]) as connection:
        channel: Any = connection.default_channel
        channel.queue_unbind(QUEUE.name, QUEUE.exchange.name, QUEUE.routing_key)
    (job_id,) = judge.submit(1)
    judge.check([job_id], unheard=[job_id])
    query = "SELECT count(*) AS unheard FROM events WHERE was_routed IS FALSE AND published_at IS NOT NULL"
    wait_until(lambda: judge.rows(query) == [{"unheard": 3}], "accepted, submitted and succeeded are out")
    assert '"was_routed": false' in deployment.log_of("worker")
