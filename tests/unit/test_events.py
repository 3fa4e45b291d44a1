"""What an announcement says, and that it is a CloudEvent which a client can read."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.bindings.rabbitmq import to_binary
from cloudevents.core.formats.json import JSONFormat
from kombu.message import Message

from worker.client import OUTCOMES, JobEvent, read_event
from worker.database.outbox import Event
from worker.errors import HoldCause
from worker.events.payloads import change_payload, error_payload, job_payload
from worker.events.publisher import as_cloud_event
from worker.rules.job import Job
from worker.rules.lifecycle import EventType, JobState, Trigger
from worker.rules.outcome import Advance, Change, Doubt, Fail, Hold, Learnt, Snooze, StoredFile, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job("job", "default", JobState.SUBMITTING, 1, {}, {"order": 7}, 0, 0, 3, "run", NOW - timedelta(seconds=40), NOW)
METRICS = {"cost": 0.06, "queue_time": 1.0, "inference_time": 30.7, "total_time": 31.7}
GLB = StoredFile("model.glb", "model/gltf-binary", 100, "ab" * 32, io.BytesIO())
STORED = [{"id": 5, "name": "model.glb", "media_type": "model/gltf-binary", "bytes": 100, "sha256": "ab" * 32}]

CHANGES = [
    decide(JobState.SUBMITTING, 0, Advance(Trigger.ANSWERED, learnt=Learnt(request_id="run"))),
    decide(JobState.FETCHING, 0, Advance(Trigger.STORED, learnt=Learnt(metrics=METRICS), files=(GLB,))),
    decide(JobState.SUBMITTING, 0, Fail(Trigger.REFUSED, "remote_refused", "Why.")),
    decide(JobState.SUBMITTING, 0, Fail(Trigger.UNTOLD, "submit_unknown", "Why.")),
    decide(JobState.SUBMITTING, 0, Snooze(timedelta(0), "x")),
    decide(JobState.SUBMITTING, 0, Hold(HoldCause.KEY, "x")),
    decide(JobState.SUBMITTING, 0, Doubt("x")),
]


def received(body: Any, headers: dict[str, Any] | None) -> Message:
    """Return a message as the broker's library gives it."""
    return Message(body=body, headers=headers)


def message_of(event: Event) -> Message:
    """Return an event as a consumer gets it."""
    sent = to_binary(as_cloud_event(event), JSONFormat())
    return received(sent.body, sent.headers)


def event(kind: EventType, job_id: str | None = "job", payload: dict[str, Any] | None = None) -> Event:
    """Return a row of the outbox."""
    return Event("id", job_id, kind, payload or {}, NOW)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.trigger.value)
def test_each_payload_names_the_job_and_gives_the_metadata_back(change: Change) -> None:
    """A sender can tell its jobs apart by either; and it is plain JSON."""
    payload = change_payload(JOB, change)
    assert (payload["job_id"], payload["state"], payload["metadata"]) == ("job", change.state, {"order": 7})
    assert json.dumps(payload, allow_nan=False)


def test_a_success_says_what_was_made_and_what_it_cost() -> None:
    """Enough to fetch the files and to check them."""
    payload = change_payload(JOB, CHANGES[1], STORED)
    [output] = payload["outputs"]
    assert {name: output[name] for name in ("name", "media_type", "bytes", "sha256")} == {
        "name": "model.glb", "media_type": "model/gltf-binary", "bytes": 100, "sha256": "ab" * 32,
    }  # fmt: skip
    assert set(output["get"]) == {"cli", "python"}
    assert payload["cost"] == {"amount": 0.06, "currency": "USD"}
    assert payload["timings"] == {
        "queue_time": 1.0, "inference_time": 30.7, "total_time": 31.7, "seconds_since_submit": 40.0, "polls": 3,
    }  # fmt: skip


def test_a_success_without_metrics() -> None:
    """What the vendor did not say is null, not left out."""
    change = decide(JobState.FETCHING, 0, Advance(Trigger.STORED, files=(GLB,)))
    payload = change_payload(JOB, change)
    assert payload["cost"]["amount"] is None
    assert payload["timings"]["total_time"] is None


@pytest.mark.parametrize(("change", "code"), [(CHANGES[2], "remote_refused"), (CHANGES[3], "submit_unknown")])
def test_a_failure_says_why(change: Change, code: str) -> None:
    """A stable code for programs, a sentence for people."""
    assert change_payload(JOB, change)["error"] == {"code": code, "message": "Why.", "field": None}


def test_a_submit_says_which_run_it_is() -> None:
    """The vendor's id helps whoever asks the vendor."""
    assert change_payload(JOB, CHANGES[0])["request_id"] == "run"


@pytest.mark.parametrize("kind", EventType)
def test_an_event_is_a_cloud_event(kind: EventType) -> None:
    """With the attributes that the specification requires, and the job as its subject."""
    made = as_cloud_event(event(kind, payload=job_payload("job", JobState.FAILED, {}, **error_payload("c", "m", "f"))))
    assert (made.get_id(), made.get_type(), made.get_source()) == ("id", kind.value, "sam3d-worker")
    assert (made.get_subject(), made.get_time(), made.get_datacontenttype()) == ("job", NOW, "application/json")


@pytest.mark.parametrize("kind", [kind for kind in EventType if "account" not in kind])
def test_a_client_reads_what_was_announced(kind: EventType) -> None:
    """The way out and the way in fit together."""
    heard = read_event(message_of(event(kind, payload={"job_id": "job", "state": "x"})))
    assert heard == JobEvent("id", kind, "job", {"job_id": "job", "state": "x"})
    assert heard.is_outcome == (kind in OUTCOMES)
    assert heard.has_succeeded == (kind is EventType.SUCCEEDED)


def test_an_event_of_an_account_is_no_event_of_a_job() -> None:
    """It has no subject, and a client passes it by."""
    assert read_event(message_of(event(EventType.ACCOUNT_HELD, job_id=None))) is None


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (None, b"{}"),
        ({}, b"{}"),
        ({"ce-id": "1", "ce-type": "other", "ce-subject": "job"}, b"{}"),
        ({"ce-id": "1", "ce-type": "sam3d.reconstruction.failed"}, b"{}"),
        ({"ce-id": "1", "ce-type": "sam3d.reconstruction.failed", "ce-subject": "job"}, b"[]"),
        ({"ce-id": "1", "ce-type": "sam3d.reconstruction.failed", "ce-subject": "job"}, b"\xff"),
        ({"ce-id": "1", "ce-type": "sam3d.reconstruction.failed", "ce-subject": "job"}, b"[" * 9999),
        ({"ce-id": "1", "ce-type": ["x"], "ce-subject": "job"}, b"{}"),
    ],
)
def test_what_is_no_event_of_a_job_is_passed_by(headers: dict[str, Any] | None, body: bytes) -> None:
    """Nothing on the exchange stops a client."""
    assert read_event(received(body, headers)) is None


@pytest.mark.parametrize("body", ["{}", b"{} ", bytearray(b"{}"), memoryview(b"{}")])
def test_a_body_comes_as_text_or_bytes(body: Any) -> None:
    """The broker's library decides which."""
    headers = {"ce-id": "1", "ce-type": "sam3d.reconstruction.failed", "ce-subject": "job"}
    assert read_event(received(body, headers))


def test_a_duplicate_is_told_which_job_it_became() -> None:
    """Its own outcome never comes; that of the other does."""
    assert JobEvent("1", EventType.ACCEPTED, "job", {"duplicate_of": "other"}).duplicate_of == "other"
    assert JobEvent("1", EventType.ACCEPTED, "job", {}).duplicate_of is None
