"""What a client reads of an event, and what it passes by."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.rabbitmq import to_binary
from cloudevents.core.formats.json import JSONFormat
from kombu.message import Message

from worker.database.outbox import Event
from worker.events.heard import OUTCOMES, JobEvent, read_event
from worker.events.publisher import as_cloud_event
from worker.rules.lifecycle import EventType

NOW = datetime(2026, 1, 1, tzinfo=UTC)


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


@pytest.mark.parametrize("kind", [kind for kind in EventType if "account" not in kind])
def test_a_client_reads_what_was_announced(kind: EventType) -> None:
    """The way out and the way in fit together."""
    heard = read_event(message_of(event(kind, payload={"job_id": "job", "state": "x"})))
    assert heard == JobEvent("id", kind, "job", {"job_id": "job", "state": "x"})
    assert heard.is_outcome == (kind in OUTCOMES)
    assert heard.has_succeeded == (kind is EventType.SUCCEEDED)


def test_an_ask_that_is_refused_ends_no_job() -> None:
    """Anybody may ask about any job; its own sender's refused request is the end of it."""
    assert JobEvent("1", EventType.REFUSED, "job", {"message_id": "m"}).is_outcome
    assert not JobEvent("1", EventType.REFUSED, "job", {"message_id": "m", "ask": "cancel"}).is_outcome


def test_what_the_sender_calls_his_message_is_read() -> None:
    """Of whatever a message has there."""
    written: list[tuple[Any, str | None]] = [("order-17", "order-17"), (None, None), (["x"], None)]
    for called, read in written:
        message = message_of(event(EventType.ACCEPTED))
        message.properties = {"correlation_id": called}
        heard = read_event(message)
        assert heard
        assert heard.correlation_id == read


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
