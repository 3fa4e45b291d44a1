"""A broker that knows the service by another name than the one in its URL."""

from kombu import Producer

from tests.support.broken import Broken, task
from tests.support.deployment import IMPATIENT, Service, count_logged, start_all
from tests.support.judge import Judge, tiny_image
from tests.support.messages import count, mallory, plain, publish
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.proxy import Proxy
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.broker.topology import DEAD, INBOX, REQUESTS

__all__ = ["mallory"]


def test_what_names_its_sender_does_not_go_round(
    deployment: Service, judge: Judge, mallory: Producer, postgres: PrivatePostgres, rabbitmq: PrivateRabbit
) -> None:
    """What is put off comes back, and is nobody's; what nobody can read is put aside; the queue goes on."""
    url = deployment.environment["SAM3D_BROKER_URL"]
    rabbitmq.create_user(url.rpartition("/")[2], "other", "guest")
    with Proxy(rabbitmq.port) as proxy:
        proxy.log_in_as("guest", "other")
        start_all(deployment, SAM3D_BROKER_URL=url.replace(f":{rabbitmq.port}/", f":{proxy.port}/"), **IMPATIENT)
        judge.check(judge.submit(1))
        postgres.kill()
        signed = {"user_id": "mallory"}
        publish(mallory, INBOX, "reconstruct", Broken("", b"{", {"message_id": "m-1", **signed}))
        publish(mallory, INBOX, "reconstruct", plain("plain", {}, **signed))
        request = {"image": tiny_image(), "prompt": "task", "idempotency_key": "task"}
        publish(mallory, "", REQUESTS, task("", [[], request, {}], signed))
        wait_until(lambda: count_logged(deployment, "request_delayed") >= 2, "both are put off")
        postgres.start()
        query = "SELECT idempotency_key AS key, source FROM jobs WHERE idempotency_key IS NOT NULL ORDER BY 1"
        nobodys = [("plain", ""), ("task", "")]
        wait_until(lambda: [(row["key"], row["source"]) for row in judge.rows(query)] == nobodys, "both are accepted")
        wait_until(lambda: count(rabbitmq, deployment, DEAD) == 1, "the third is put aside")
        assert count_logged(deployment, "message_given_back") == 0
        assert count_logged(deployment, "senders_unknown") >= 1
    rabbitmq.delete_users("other")
