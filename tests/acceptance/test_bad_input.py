"""A bad request fails by name, whichever way it comes; what can't be read at all is among the faults."""

import base64
import json
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection, Producer

from tests.support.deployment import IMAGE, Service
from tests.support.listener import Listener
from worker.rules.lifecycle import EventType
from worker.simulator import Simulator

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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such.png"], "`no-such.png` can't be read: No such file or directory."),
        (["pyproject.toml"], "`pyproject.toml` is not an image that can be read"),
        (["ftp://example.com/cat.png"], "`ftp://example.com/cat.png` must be an http(s) URL"),
        (["worker/photos/cat.png", "--box", "[9, 9, 1, 1]"], "`--box` must have x2 > x1 and y2 > y1."),
        (["worker/photos/cat.png", "pyproject.toml"], "`pyproject.toml` is not an image"),
        (["worker/photos/cat.png", "--key", ""], "`--key` must not be empty"),
        (["worker/photos/cat.png", "--seed", "1000001"], "`--seed` must be less than or equal to 1000000."),
        (["worker/photos/cat.png", "--mask", "pyproject.toml"], "`--mask` is not an image that can be read"),
        (["worker/photos/cat.png", "--out", "pyproject.toml"], "`--out` can't be written to: File exists."),
        (["/dev/zero"], "`/dev/zero` is larger than 256 MiB; send a smaller one, or a URL."),
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
    body = json.dumps(fields).encode()
    producer.publish(body, "reconstruct", exchange="sam3d.inbox", content_type="application/json")
