"""Headers by which a sender would be somebody else, or have the broker lose, keep or count what is his."""

from kombu import Producer

from tests.support.broken import task
from tests.support.deployment import IMPATIENT, Service, count_logged, start_all
from tests.support.judge import Judge, tiny_image
from tests.support.messages import count, mallory, plain, publish, publisher
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.broker.topology import INBOX, MAX_DELIVERIES, REQUESTS

__all__ = ["mallory"]

MORE_THAN_AT_ONCE = 40
"""Messages that a delay queue of the broker would keep for ever; it has 32 on their way at a time."""

DEATHS = [
    {"queue": name, "reason": "expired", "count": 1, "exchange": "", "routing-keys": ["x"]}
    for name in (INBOX, REQUESTS)
]
"""By which a broker takes a message for one that goes in circles (RabbitMQ 3)."""


def test_what_was_put_off_comes_back_as_whose_it_was(
    deployment: Service, judge: Judge, mallory: Producer, postgres: PrivatePostgres
) -> None:
    """However much its headers hold, or say of where it has been; what others have put off comes back as well."""
    start_all(deployment, **IMPATIENT)
    judge.check(judge.submit(2))
    postgres.kill()
    publish(mallory, INBOX, "reconstruct", plain("large", {"x": "y" * 110_000}, user_id="mallory"))
    publish(mallory, INBOX, "reconstruct", plain("forged", {"x-sam3d-source": "user alice"}))
    request = {"image": tiny_image(), "prompt": "task", "idempotency_key": "task"}
    publish(mallory, "", REQUESTS, task("", [[], request, {}], {"user_id": "mallory"}, x="y" * 110_000))
    for number in range(MORE_THAN_AT_ONCE):
        publish(mallory, INBOX, "reconstruct", plain(f"{number}", {"x-death": DEATHS}, user_id="mallory"))
    wait_until(lambda: count_logged(deployment, "request_delayed") >= MORE_THAN_AT_ONCE + 3, "all are put off", 300)
    postgres.start()
    query = "SELECT source, count(*) FROM jobs WHERE idempotency_key IS NOT NULL GROUP BY source"
    wait_until(
        lambda: (
            {row["source"]: row["count"] for row in judge.rows(query)} == {"user mallory": MORE_THAN_AT_ONCE + 2, "": 1}
        ),
        "all are accepted, each as its sender's",
    )


def test_a_count_that_is_no_brokers(deployment: Service, judge: Judge, rabbitmq: PrivateRabbit) -> None:
    """A request that says that it killed ten workers is as new as any; it does not go round after a lost connection."""
    start_all(deployment)
    with publisher(deployment) as producer:
        publish(producer, INBOX, "reconstruct", plain("count", {"x-delivery-count": MAX_DELIVERIES}))
    query = "SELECT id::text FROM jobs WHERE idempotency_key = 'count'"
    wait_until(lambda: judge.rows(query) or count(rabbitmq, deployment, "sam3d.dead"), "it is accepted or put aside")
    assert count(rabbitmq, deployment, "sam3d.dead") == 0
    judge.await_states([row["id"] for row in judge.rows(query)], "succeeded")
