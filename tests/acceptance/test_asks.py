"""Whoever sent a request asks about its job, by every way in, through a real worker process."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from kombu import Connection, Producer

from tests.support.deployment import IMAGE, Service
from tests.support.listener import Listener
from tests.support.waiting import wait_until
from worker.client import Client
from worker.rules.lifecycle import EventType

STRUCTURED = "application/cloudevents+json"


@pytest.fixture
def deployment(deployment: Service) -> Service:
    """Provide a deployment that keeps the photos of jobs that were cancelled, so that they can be retried."""
    deployment.environment["SAM3D_KEEP_INPUTS"] = "true"
    return deployment


@pytest.fixture
def producer(service: Service) -> Iterator[Producer]:
    """Provide what publishes anything."""
    with Connection(service.environment["SAM3D_BROKER_URL"]) as connection, connection.Producer() as made:
        yield made


@pytest.fixture
def held(service: Service) -> Service:
    """Provide a service that submits nothing, so that jobs stay as they are."""
    service.run("hold")
    return service


def event(what: str, job_id: str, **more: Any) -> dict[str, Any]:
    """Return a CloudEvent that asks about a job."""
    kind = f"sam3d.reconstruction.{what}.requested"
    return {
        "specversion": "1.0",
        "type": kind,
        "source": "/shop",
        "id": uuid4().hex,
        "data": {"job_id": job_id},
        **more,
    }


def as_json(producer: Producer, what: str, job_id: str, name: str) -> None:
    """Ask by routing key."""
    body = json.dumps({"job_id": job_id}).encode()
    producer.publish(
        body, exchange="sam3d.inbox", routing_key=what, content_type="application/json", correlation_id=name
    )


def as_task(producer: Producer, what: str, job_id: str, name: str) -> None:
    """Ask by a task of a stock Celery app, whose id is what it is called."""
    connection: Any = producer.connection
    app = Celery(broker=connection.as_uri(include_password=True), set_as_current=False)
    app.send_task(f"sam3d.{what}", kwargs={"job_id": job_id}, queue="sam3d.requests", task_id=name)
    app.close()


def as_event(producer: Producer, what: str, job_id: str, name: str) -> None:
    """Ask by a CloudEvent in structured mode, by the routing key of requests."""
    body = json.dumps(event(what, job_id)).encode()
    producer.publish(
        body, exchange="sam3d.inbox", routing_key="reconstruct", content_type=STRUCTURED, correlation_id=name
    )


def as_binary_event(producer: Producer, what: str, job_id: str, name: str) -> None:
    """Ask by a CloudEvent in binary mode, by its own routing key."""
    attributes = event(what, job_id)
    body = json.dumps(attributes.pop("data")).encode()
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    producer.publish(
        body,
        exchange="sam3d.inbox",
        routing_key=what,
        headers=headers,
        content_type="application/json",
        correlation_id=name,
    )


Way = Callable[[Producer, str, str, str], None]
EVENTS: tuple[Way, ...] = (as_event, as_binary_event)
WAYS: tuple[Way, ...] = (as_json, as_task, *EVENTS)


def answered(listener: Listener, name: str) -> dict[str, Any]:
    """Return the event that answers a message."""

    def heard() -> list[dict[str, Any]]:
        listener._drain()
        return [each for each in listener.events if each["correlation_id"] == name]

    wait_until(heard, f"an answer to {name}")
    return heard()[0]


def send(producer: Producer, way: Way) -> str:
    """Send a request as the sender of these asks, and return its job."""
    job_id = str(uuid4())
    fields = {"image": IMAGE, "job_id": job_id}
    if way in EVENTS:
        body, kind = event("", job_id, type="sam3d.reconstruction.requested", data=fields), STRUCTURED
    else:
        body, kind = fields, "application/json"
    written = json.dumps(body).encode()
    producer.publish(written, exchange="sam3d.inbox", routing_key="reconstruct", content_type=kind)
    return job_id


def test_a_job_is_asked_about_by_every_way(held: Service, producer: Producer, listener: Listener) -> None:
    """How it stands, to cancel it, to retry it: each is answered under the name of its message."""
    for way in WAYS:
        job_id = send(producer, way)
        listener.wait_for(job_id, EventType.ACCEPTED)
        first = next(each for each in listener.events if each["subject"] == job_id)
        names = {what: f"{way.__name__}-{what}-{job_id}" for what in ("status", "cancel", "retry")}
        heard = {}
        for what, name in names.items():
            way(producer, what, job_id, name)
            heard[what] = answered(listener, name)
        assert heard["status"] == {**first, "correlation_id": names["status"]}
        assert (heard["cancel"]["type"], heard["cancel"]["subject"]) == (EventType.CANCELLED, job_id)
        assert (heard["retry"]["type"], heard["retry"]["data"]["retry_of"]) == (EventType.ACCEPTED, job_id)
    assert json.loads(held.run("dead", "list", "--json").stdout) == []


def test_a_bad_ask_is_refused_by_name(held: Service, producer: Producer, listener: Listener) -> None:
    """By whichever way it comes, and about whichever job; the worker goes on."""
    theirs = send(producer, as_event)
    listener.wait_for(theirs, EventType.ACCEPTED)
    for way in (as_json, as_task):
        for job_id, code in ((theirs, "unknown_job"), (str(uuid4()), "unknown_job"), ("x", "invalid_request")):
            name = uuid4().hex
            way(producer, "cancel", job_id, name)
            refused = answered(listener, name)
            assert (refused["type"], refused["data"]["error"]["code"]) == (EventType.REFUSED, code)
    for field in ("reply_to", "expiration"):
        value: Any = 60.0 if field == "expiration" else "answers"
        body = json.dumps({"job_id": theirs}).encode()
        name, how = uuid4().hex, {field: value}
        producer.publish(body, exchange="sam3d.inbox", routing_key="status", correlation_id=name, **how)
        error = answered(listener, name)["data"]["error"]
        assert (error["code"], error["field"]) == ("not_supported", field)
    assert json.loads(held.run("job", theirs, "--json").stdout)["state"] == "accepted"


def test_the_client_asks(held: Service) -> None:
    """It returns the answer, and hears the events of the job that it was told of."""
    with Client(held.settings) as client:
        job_id = client.submit("worker/photos/cat.png")
        next(client.follow([job_id]))
        assert client.status(job_id).type is EventType.ACCEPTED
        assert client.retry(job_id).content["error"]["code"] == "not_retryable"
        assert client.cancel(job_id).type is EventType.CANCELLED
        assert client.wait(job_id).type is EventType.CANCELLED, "a refused ask was no end"
        assert client.status(str(uuid4())).content["error"]["code"] == "unknown_job"
        retried = client.retry(job_id)
        assert (retried.type, retried.content["retry_of"]) == (EventType.ACCEPTED, job_id)
        held.run("resume")
        assert client.wait(retried.job_id, timedelta(seconds=60)).has_succeeded
        assert client.status(retried.job_id).has_succeeded
