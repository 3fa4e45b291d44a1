"""Nothing that comes in stops a worker or is lost: bad requests fail by name, unreadable messages are kept."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection, Producer

from tests.acceptance.conftest import Service
from tests.acceptance.listener import Listener
from tests.services.rabbitmq import PrivateRabbit
from tests.waiting import wait_until
from worker.lifecycle import EventType
from worker.simulator import Simulator

IMAGE = base64.b64encode(Path("worker/photos/cat.png").read_bytes()).decode()
BAD_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("image", {}),
    ("colour", {"image": IMAGE, "colour": "red"}),
    ("prompt", {"image": IMAGE, "prompt": 5}),
    ("bounding_box", {"image": IMAGE, "bounding_box": [10, 10, 10, 20]}),
    ("point_coords", {"image": IMAGE, "point_coords": [[-1, 5]]}),
    ("point_coords", {"image": IMAGE, "point_coords": "[[1, NaN]]"}),
    ("seed", {"image": IMAGE, "seed": 1_000_001}),
    ("image", {"image": base64.b64encode(b"no image at all, but sixty-four bytes and more of it" * 3).decode()}),
    ("image", {"image": "A" * 14_500_000}),
    ("image", {"image": "/etc/passwd"}),
    ("image", {"image": "file:///etc/passwd"}),
    ("image", {"image": "ftp://example.com/cat.png"}),
    ("reply_to", {"image": IMAGE, "reply_to": {"task": "shop.done", "queue": "shop"}}),
]
UNREADABLE: list[tuple[bytes, str]] = [
    (b"", "application/json"),
    (b"not json", "application/json"),
    (b"[1, 2]", "application/json"),
    (b'"text"', "application/json"),
    (b"[" * 200_000, "application/json"),
    (b'{"type": "other", "source": "/a", "id": "1", "data": {}}', "application/cloudevents+json"),
]
BROKEN_TASKS: list[tuple[bytes, dict[str, Any]]] = [
    (b"[[], {}, {}]", {"task": "sam3d.reconstruct"}),
    (b"[[], {}, {}]", {"task": "sam3d.unknown", "id": "1"}),
    (b'"text"', {"task": "sam3d.reconstruct", "id": "2"}),
    (b"null", {"task": "sam3d.reconstruct", "id": "3"}),
    (b"17", {"task": "sam3d.reconstruct", "id": "4"}),
    (b"{", {"task": "sam3d.reconstruct", "id": "5"}),
    (b"[[], {}, {}]", {"task": "sam3d.reconstruct", "id": "6", "timelimit": ["soon", {}]}),
    (b"[[], {}, {}]", {"task": ["sam3d.reconstruct"], "id": "7"}),
    (b"[[], {}, {}]", {"task": "sam3d.reconstruct", "id": "8", "timelimit": [None]}),
    (b"[[], {}, {}]", {"task": "sam3d.reconstruct", "id": "9", "eta": {}}),
    (b"[[], {}, {}]", {"task": "sam3d.reconstruct", "id": "10", "eta": "2999-01-01T00:00:00+00:00"}),
    (b"[[], {}, {}]", {"task": "sam3d.reconstruct", "id": "11", "expires": "2001-01-01T00:00:00+00:00"}),
    (b'[[], {}, {"chain": "x"}]', {"task": "sam3d.reconstruct", "id": "12"}),
    (b'[[], {"self": 1}, {}]', {"task": "sam3d.reconstruct", "id": "13"}),
    (b"[[], {}, {}]", {"task": "celery.backend_cleanup", "id": "14"}),
    (b'[[], {"job_id": "x", "version": 1}, {}]', {"task": "sam3d.poll", "id": "15"}),
    (b"[[], {}, {}]", {"task": "sam3d.reconstruct", "x": "y" * 129_900}),
]


def test_bad_requests_fail_by_name(service: Service, simulator: Simulator, listener: Listener) -> None:
    """Each becomes a failed job, announced with a code and a sentence that names the field; none is sent."""
    sent = [(field, {**fields, "job_id": str(uuid4())}) for field, fields in BAD_REQUESTS]
    with Connection(service.environment["SAM3D_BROKER_URL"]) as connection, connection.Producer() as producer:
        for _, fields in sent:
            _publish_request(producer, fields)
        for field, fields in sent:
            error = listener.wait_for(fields["job_id"], EventType.FAILED)["error"]
            assert (error["field"], error["message"].startswith(f"`{field}` ")) == (field, True)
            assert error["code"] in {"invalid_request", "not_supported"}
    rows = json.loads(service.run("jobs", "--json").stdout)
    assert {row["state"] for row in rows} == {"failed"}
    assert len(rows) == len(BAD_REQUESTS)
    assert simulator.requests()["total"] == 0


def test_a_conflict_is_refused_and_touches_nothing(service: Service, listener: Listener) -> None:
    """The same id, or the same key, with another payload: the job that has it stays as it is."""
    fields = {"image": IMAGE, "job_id": str(uuid4()), "idempotency_key": "order-1"}
    with Connection(service.environment["SAM3D_BROKER_URL"]) as connection, connection.Producer() as producer:
        _publish_request(producer, fields)
        listener.wait_for(fields["job_id"], EventType.SUCCEEDED)
        before = service.run("job", fields["job_id"], "--json").stdout

        _publish_request(producer, {**fields, "seed": 1})
        assert listener.wait_for(fields["job_id"], EventType.REFUSED)["error"]["field"] == "job_id"
        other = str(uuid4())
        _publish_request(producer, {**fields, "job_id": other, "seed": 2})
        refused = listener.wait_for(other, EventType.REFUSED)
        assert (refused["error"]["field"], refused["existing_job_id"]) == ("idempotency_key", fields["job_id"])

    after = json.loads(service.run("job", fields["job_id"], "--json").stdout)
    assert {**after, "history": None} == {**json.loads(before), "history": None}


def test_unreadable_messages_are_kept_and_stop_nobody(
    service: Service, rabbitmq: PrivateRabbit, listener: Listener
) -> None:
    """They go to the dead letters, each once; the worker's process stays and serves the next good request."""
    worker = service.processes["worker"]
    url = service.environment["SAM3D_BROKER_URL"]
    with Connection(url) as connection, connection.Producer() as producer:
        for body, content_type in UNREADABLE:
            _publish(producer, body, "sam3d.inbox", "reconstruct", content_type)
        _publish(producer, b"{}", "sam3d.inbox", "reconstruct", "application/json", {"compression": "nope"})
        for body, headers in BROKEN_TASKS:
            _publish(producer, body, "sam3d.requests", "sam3d.requests", "application/json", headers)
        good = {"image": IMAGE, "job_id": str(uuid4())}
        _publish_request(producer, good)
        listener.wait_for(good["job_id"], EventType.SUCCEEDED)

    vhost = url.rpartition("/")[2]
    expected = len(UNREADABLE) + 1 + len(BROKEN_TASKS)
    wait_until(lambda: _count(rabbitmq, vhost, "sam3d.dead") == expected, f"{expected} dead letters")
    assert worker.poll() is None
    assert [_count(rabbitmq, vhost, name) for name in ("sam3d.requests", "sam3d.inbox")] == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such.png"], "`image` can't be read: No such file or directory."),
        (["pyproject.toml"], "`image` is not an image that can be read"),
        (["ftp://example.com/cat.png"], "`image` must be an http(s) URL"),
        (["worker/photos/cat.png", "--box", "[9, 9, 1, 1]"], "`bounding_box` must have x2 > x1 and y2 > y1."),
        (["worker/photos/cat.png", "--seed", "1000001"], "`seed` must be less than or equal to 1000000."),
        (["worker/photos/cat.png", "--mask", "pyproject.toml"], "`mask` is not an image that can be read"),
        (["worker/photos/cat.png", "--out", "pyproject.toml"], "`--out` can't be written to: File exists."),
        (["/dev/zero"], "`image` is larger than 10 MiB; send a smaller one, or a URL."),
    ],
)
def test_the_command_line_refuses_before_it_sends(arguments: list[str], sentence: str) -> None:
    """The same sentence in one line and exit code 2; there is no broker here that anything could be sent to."""
    command = [sys.executable, "-m", "worker", "submit", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"sam3d: {sentence}")
    assert done.stderr.count("\n") == 1


def _publish_request(producer: Producer, fields: dict[str, Any]) -> None:
    _publish(producer, json.dumps(fields).encode(), "sam3d.inbox", "reconstruct", "application/json")


def _publish(
    producer: Producer,
    body: bytes,
    exchange: str,
    key: str,
    content_type: str,
    headers: dict[str, Any] | None = None,
) -> None:
    producer.publish(body, key, exchange=exchange, content_type=content_type, content_encoding="utf-8", headers=headers)


def _count(rabbitmq: PrivateRabbit, vhost: str, name: str) -> int:
    return next(queue.messages for queue in rabbitmq.queues(vhost) if queue.name == name)
