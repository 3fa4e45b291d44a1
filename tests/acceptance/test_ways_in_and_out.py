"""A message in, an event out: every way in, through a real worker process, a real broker and a real database."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from celery import Celery
from kombu import Connection, Producer

from tests.support.broken import SECRET_PROMPT
from tests.support.deployment import IMAGE, Service
from tests.support.listener import Listener
from tests.support.waiting import wait_until
from worker.client import Client
from worker.rules.lifecycle import EventType
from worker.simulator import Simulator

PHOTO = Path("worker/photos/cat.png")


@contextmanager
def _publisher(service: Service) -> Iterator[Producer]:
    with Connection(service.environment["SAM3D_BROKER_URL"]) as connection, connection.Producer() as producer:
        yield producer


def _made_by_the_simulator(simulator: Simulator, request_id: str) -> bytes:
    """Read a run's output from the vendor itself, as anybody who has its URL may."""
    headers = {"x-api-key": "SG_0123456789abcdef", "content-type": "application/json"}
    with httpx.Client(headers=headers) as client:
        body = client.get(f"{simulator.url}/v2/requests/{request_id}").json()
        return client.get(body["output"]).content


def _assert_stored(service: Service, simulator: Simulator, data: dict[str, Any], folder: Path) -> None:
    """Check that the event's figures, the stored bytes and the vendor's bytes agree."""
    job_id = data["job_id"]
    row = json.loads(service.run("job", job_id, "--json").stdout)
    expected = _made_by_the_simulator(simulator, row["request_id"])
    service.run("output", job_id, "--out", str(folder))
    assert (folder / "model.glb").read_bytes() == expected
    assert [(each["name"], each["media_type"], each["bytes"], each["sha256"]) for each in data["outputs"]] == [
        ("model.glb", "model/gltf-binary", len(expected), hashlib.sha256(expected).hexdigest())
    ]
    assert [each["verdict"] for each in row["submissions"]] == ["accepted"]
    assert len(simulator.ledger()) == 1


def test_a_celery_producer_without_our_code(
    service: Service, simulator: Simulator, listener: Listener, tmp_path: Path
) -> None:
    """A stock Celery app sends the task by name to the queue, and gets CloudEvents back."""
    producer = Celery(broker=service.environment["SAM3D_BROKER_URL"], set_as_current=False)
    fields = {"image": IMAGE, "prompt": SECRET_PROMPT, "seed": 7, "metadata": {"order": 17}, "job_id": str(uuid4())}
    task = producer.send_task("sam3d.reconstruct", kwargs=fields, queue="sam3d.requests")
    producer.close()

    data = listener.wait_for(str(fields["job_id"]), EventType.SUCCEEDED)

    assert data["metadata"] == {"order": 17}
    assert data["cost"] == {"amount": 0.06, "currency": "USD"}
    types = [event["type"].rpartition(".")[2] for event in listener.events]
    assert types == ["accepted", "submitted", "succeeded"]
    assert {event["correlation_id"] for event in listener.events} == {task.id}
    _assert_stored(service, simulator, data, tmp_path / "out")
    logged = service.log_of("worker") + service.log_of("scheduler")
    for secret in (SECRET_PROMPT, IMAGE[:60], "SG_0123456789abcdef", "/outputs/"):
        assert secret not in logged


def test_a_plain_json_publisher(service: Service, simulator: Simulator, listener: Listener, tmp_path: Path) -> None:
    """A JSON object on the inbox exchange is all that another language has to send."""
    job_id = str(uuid4())
    with _publisher(service) as producer:
        body = json.dumps({"image": IMAGE, "job_id": job_id}).encode()
        producer.publish(body, exchange="sam3d.inbox", routing_key="reconstruct", content_type="application/json")

    data = listener.wait_for(job_id, EventType.SUCCEEDED)

    _assert_stored(service, simulator, data, tmp_path / "out")


def test_a_cloud_event_sent_twice_is_one_job(service: Service, simulator: Simulator, listener: Listener) -> None:
    """A CloudEvent's source and id are its identity."""
    event = {"specversion": "1.0", "type": "sam3d.reconstruction.requested", "source": "/shop", "id": "o-17"}
    body = json.dumps({**event, "data": {"image": IMAGE}}).encode()
    with _publisher(service) as producer:
        for _ in range(2):
            kind = "application/cloudevents+json"
            producer.publish(body, exchange="sam3d.inbox", routing_key="reconstruct", content_type=kind)

    wait_until(lambda: service.run("jobs", "--state", "succeeded", "--json").stdout.count('"id"') == 1, "one job")

    assert json.loads(service.run("jobs", "--json").stdout)[0]["state"] == "succeeded"
    assert len(simulator.ledger()) == 1


def test_the_client_submits_waits_and_downloads(service: Service, simulator: Simulator, tmp_path: Path) -> None:
    """A Python producer needs no database to wait, and gets the bytes the vendor made."""
    with Client(service.settings) as client:
        job_id = client.submit(PHOTO, seed=3, include_artifacts=True, idempotency_key="order-3")
        event = client.wait(job_id)
        again = client.submit(PHOTO, seed=3, include_artifacts=True, idempotency_key="order-3")
        outcomes = [each for each in client.follow([again]) if each.is_outcome]
        paths = client.download(job_id, tmp_path / "out")

    assert event.has_succeeded
    assert [each.job_id for each in outcomes] == [job_id], "a duplicate is told which job it became"
    assert [path.name for path in paths] == ["model.glb", "artifacts.zip"]
    assert len(simulator.ledger()) == 1


def test_the_command_line_submits_and_waits(service: Service, simulator: Simulator, tmp_path: Path) -> None:
    """Files in, a folder of models out, progress on standard error."""
    photos = [str(PHOTO), "worker/photos/coffee.png"]

    done = service.run("submit", *photos, "--prompt", "object", "--out", str(tmp_path / "out"), "--json")

    rows = json.loads(done.stdout)
    assert [row["state"] for row in rows] == ["succeeded", "succeeded"]
    for row in rows:
        stored = Path(row["files"][0]).read_bytes()
        shown = json.loads(service.run("job", row["job_id"], "--json").stdout)
        assert stored == _made_by_the_simulator(simulator, shown["request_id"])
