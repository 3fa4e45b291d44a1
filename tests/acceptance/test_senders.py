"""Several senders on one broker: each has names of his own, and none ends another's wait."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from kombu import Connection

from tests.support.deployment import IMAGE, Service
from tests.support.listener import Listener
from tests.support.services.rabbitmq import PrivateRabbit
from worker.client import Client, JobEvent
from worker.rules.lifecycle import EventType

Send = Callable[..., str]


@pytest.fixture
def sender(service: Service, rabbitmq: PrivateRabbit) -> Callable[[str], Send]:
    """Provide senders, each a user of the broker that says so in his messages."""
    vhost = service.environment["SAM3D_BROKER_URL"].rpartition("/")[2]

    def of(name: str) -> Send:
        user = f"{name}-{uuid4().hex[:6]}"
        url = rabbitmq.create_user(vhost, user, "secret")

        def send(properties: dict[str, Any] | None = None, **fields: Any) -> str:
            request = {"image": IMAGE, "job_id": str(uuid4()), **fields}
            how = {"content_type": "application/json", "user_id": user, **(properties or {})}
            with Connection(url) as connection:
                connection.Producer().publish(
                    json.dumps(request).encode(), exchange="sam3d.inbox", routing_key="reconstruct", **how
                )
            return str(request["job_id"])

        return send

    return of


def test_a_key_is_its_senders_own(sender: Callable[[str], Send], listener: Listener) -> None:
    """Two who number their orders alike have a job each; the same sender's second message is the first job."""
    alice, bob = sender("alice"), sender("bob")
    jobs = [send(idempotency_key="order-17") for send in (alice, bob)]
    for job_id in jobs:
        listener.wait_for(job_id, EventType.SUCCEEDED)
    again = alice(idempotency_key="order-17")
    assert listener.wait_for(again, EventType.ACCEPTED)["duplicate_of"] == jobs[0]


def test_nobody_ends_the_wait_for_anothers_job(
    service: Service, sender: Callable[[str], Send], listener: Listener
) -> None:
    """A stranger's message under its name is refused with that message's identity, and the job goes on to its end."""
    ended: list[JobEvent] = []
    with Client(service.settings) as client:
        job_id = client.submit("worker/photos/cat.png")
        waiting = threading.Thread(target=lambda: ended.append(client.wait(job_id, timedelta(seconds=60))))
        waiting.start()
        listener.wait_for(job_id, EventType.ACCEPTED)
        stranger = sender("mallory")
        stranger(job_id=job_id, seed=5)
        stranger(job_id=job_id, seed="x")
        refused = listener.wait_for(job_id, EventType.REFUSED)
        waiting.join()
    assert refused["existing_job_id"] == job_id != refused["message_id"]
    assert [event.type for event in ended] == [EventType.SUCCEEDED]


def test_ones_own_mistake_ends_the_wait(service: Service) -> None:
    """Who sends another request under a name that he has used hears that it is refused."""
    with Client(service.settings) as client:
        job_id = client.submit("worker/photos/cat.png")
        assert client.wait(job_id, timedelta(seconds=60)).has_succeeded
        client.submit("worker/photos/cat.png", job_id=job_id, seed=5)
        assert client.wait(job_id, timedelta(seconds=60)).type is EventType.REFUSED


def test_the_senders_name_for_a_message_is_given_back(sender: Callable[[str], Send], listener: Listener) -> None:
    """Each event of the job has it, and of a duplicate that message's own."""
    alice = sender("alice")
    job_id = alice({"correlation_id": "order-17"})
    listener.wait_for(job_id, EventType.SUCCEEDED)
    assert {event["correlation_id"] for event in listener.events if event["subject"] == job_id} == {"order-17"}
    alice({"correlation_id": "again"}, job_id=job_id)
    listener.events.clear()
    assert listener.wait_for(job_id, EventType.SUCCEEDED)["duplicate"]
    assert [event["correlation_id"] for event in listener.events] == ["again"]


@pytest.mark.parametrize("name", ["reply_to", "expiration"])
def test_a_property_that_is_not_honoured_is_refused_by_name(
    sender: Callable[[str], Send], listener: Listener, name: str
) -> None:
    """Whoever relies on it learns at once that he can't."""
    value = 60.0 if name == "expiration" else "answers"
    job_id = sender("alice")({name: value})
    error = listener.wait_for(job_id, EventType.FAILED)["error"]
    assert (error["code"], error["field"]) == ("not_supported", name)


def test_the_priority_of_a_message_is_its_requests(
    service: Service, sender: Callable[[str], Send], listener: Listener
) -> None:
    """Where the request names none itself, whichever way it comes."""
    alice = sender("alice")
    jobs = [alice({"priority": 7}), alice({"priority": 200}), alice({"priority": 7}, priority=-3)]
    celery, task_job = Celery(broker=service.environment["SAM3D_BROKER_URL"], set_as_current=False), str(uuid4())
    celery.send_task(
        "sam3d.reconstruct", kwargs={"image": IMAGE, "job_id": task_job}, queue="sam3d.requests", priority=9
    )
    celery.close()
    for job_id in (*jobs, task_job):
        listener.wait_for(job_id, EventType.ACCEPTED)
    shown = [json.loads(service.run("job", job_id, "--json").stdout)["priority"] for job_id in (*jobs, task_job)]
    assert shown == [7, 100, -3, 9]
