"""What is around a request gives it an identity; what holds no request is unreadable, and only that."""

import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import broken
from tests.support.broken import SECRET_PROMPT, Broken, received
from worker.broker.delivery import body_bytes
from worker.intake.envelope import REQUESTED, TYPES, Envelope, open_envelope, open_message
from worker.intake.request import derived_job_id
from worker.rules.asks import Ask
from worker.rules.untrusted import MAX_MESSAGE_BYTES, Unreadable

MARKER = "m4rk3r"
FIELDS = {"image": "https://example.com/cat.png"}
EVENT = {"specversion": "1.0", "type": REQUESTED, "source": "urn:shop", "id": "7"}
STRUCTURED = "application/cloudevents+json"
PLAIN = "application/json"

words = st.text("ab:/é😀\0\ud800\udfff", max_size=8)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=6,
)


def opened(
    value: object,
    content_type: str | None = PLAIN,
    headers: dict[str, Any] | None = None,
    message_id: str | None = None,
    key: str = "reconstruct",
) -> Envelope:
    """Open a message whose body is this value as JSON."""
    return open_envelope(json.dumps(value).encode(), content_type, headers or {}, message_id, key)


def opened_event(attributes: dict[str, Any], *, is_binary: bool, key: str = "reconstruct") -> Envelope:
    """Open a CloudEvent with these attributes, in either form."""
    if is_binary:
        return opened(FIELDS, PLAIN, {f"ce-{name}": value for name, value in attributes.items()}, "not this", key)
    return opened({**attributes, "data": FIELDS}, STRUCTURED, message_id="not this", key=key)


def test_plain_json_is_known_by_its_message_id() -> None:
    """The same id is the same request, whatever came before."""
    envelope = opened(FIELDS, message_id="m-1")
    assert envelope.fields == FIELDS
    assert envelope.derived_id == derived_job_id("amqp", "m-1") == opened({"a": 1}, message_id="m-1").derived_id


@pytest.mark.parametrize("message_id", [None, ""])
def test_plain_json_that_nothing_names_is_known_by_its_body(message_id: str | None) -> None:
    """The same bytes are the same request."""
    first, again, other = (opened(value, message_id=message_id) for value in (FIELDS, FIELDS, {"image": "x"}))
    assert first.derived_id == again.derived_id != other.derived_id


@pytest.mark.parametrize("content_type", [STRUCTURED, STRUCTURED + "; charset=utf-8"])
def test_structured_cloud_event(content_type: str) -> None:
    """The request is the event's data, its identity the event's source and id."""
    envelope = opened({**EVENT, "data": FIELDS}, content_type, message_id="not this")
    assert envelope == Envelope(FIELDS, derived_job_id("cloudevent", "urn:shop", "7"))


def test_binary_cloud_event() -> None:
    """The attributes are headers; it is the same request as the structured one."""
    assert opened_event(EVENT, is_binary=True) == opened_event(EVENT, is_binary=False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"source": None}, "no source or no id"),
        ({"id": None}, "no source or no id"),
        ({"source": ""}, "no source or no id"),
        ({"id": ""}, "no source or no id"),
        ({"id": 7}, "no source or no id"),
        ({"source": ["m4rk3r"]}, "no source or no id"),
        ({"type": "m4rk3r"}, "the CloudEvent's type is not"),
        ({"type": None}, "the CloudEvent's type is not"),
    ],
)
@pytest.mark.parametrize("is_binary", [True, False])
def test_other_cloud_events_are_unreadable(change: dict[str, Any], why: str, *, is_binary: bool) -> None:
    """An event of another kind, or one that can't be told from its copies, is not a request."""
    with pytest.raises(Unreadable, match=why) as unreadable:
        opened_event(EVENT | change, is_binary=is_binary)
    assert MARKER not in str(unreadable.value)


@pytest.mark.parametrize("ask", [None, *Ask])
def test_plain_json_asks_by_its_routing_key(ask: Ask | None) -> None:
    """The identity that its message gives it is the same."""
    key = ask or "reconstruct"
    assert opened(FIELDS, message_id="m-1", key=key) == Envelope(FIELDS, derived_job_id("amqp", "m-1"), ask=ask)
    assert opened(FIELDS, key=key).ask is ask


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("ask", Ask)
def test_a_cloud_event_asks_by_its_type(ask: Ask, *, is_binary: bool) -> None:
    """It comes by the key of requests, as each CloudEvent may, or by that of what it asks."""
    attributes = {**EVENT, "type": f"sam3d.reconstruction.{ask}.requested"}
    for key in ("reconstruct", ask.value):
        event = opened_event(attributes, is_binary=is_binary, key=key)
        assert (event.ask, event.derived_id) == (ask, derived_job_id("cloudevent", "urn:shop", "7"))


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind in TYPES for key in Ask if TYPES[kind] is not key])
def test_a_cloud_event_that_contradicts_its_routing_key_is_unreadable(kind: str, key: str, *, is_binary: bool) -> None:
    """Nobody knows which of the two its sender meant."""
    with pytest.raises(Unreadable, match="not that of its routing key"):
        opened_event({**EVENT, "type": kind}, is_binary=is_binary, key=key)


@pytest.mark.parametrize(
    ("exchange", "key", "ask"),
    [
        ("sam3d.inbox", "reconstruct", None),
        ("sam3d.inbox", "cancel", Ask.CANCEL),
        ("sam3d", "inbox", None),
        ("sam3d", "inbox-cancel", Ask.CANCEL),
        ("sam3d", "cancel", None),
        ("", "sam3d.inbox", None),
        ("", "cancel", None),
        (None, None, None),
    ],
)
def test_what_is_asked_survives_a_wait(exchange: str | None, key: str | None, ask: Ask | None) -> None:
    """A message that comes again from the delay ladder is what it was; one by no way of ours is a request."""
    came = received(Broken("", json.dumps(FIELDS).encode()))
    came.delivery_info = {"exchange": exchange, "routing_key": key}
    assert open_message(came).ask is ask


def test_an_ask_has_no_priority() -> None:
    """Its other properties are refused by name, as those of a request are."""
    came = received(Broken("", b"{}", {"priority": 5, "reply_to": "answers", "expiration": "1000"}))
    came.delivery_info = {"exchange": "sam3d.inbox", "routing_key": "status"}
    assert open_message(came).fields == {"reply_to": "answers", "expiration": "1000"}


@pytest.mark.parametrize("name", ["source", "id"])
def test_a_cloud_event_whose_name_is_no_unicode_is_unreadable(name: str) -> None:
    """JSON can write half a character, no identity can be made of one."""
    with pytest.raises(Unreadable):
        opened({**EVENT, name: "\ud800", "data": FIELDS}, STRUCTURED)


@pytest.mark.parametrize("content", [None, [], "m4rk3r", 5])
def test_a_cloud_event_without_an_object_is_unreadable(content: object) -> None:
    """Its data must be the request."""
    with pytest.raises(Unreadable, match="data is not a JSON object"):
        opened({**EVENT, "data": content}, STRUCTURED)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"m4rk3r", "not JSON"),
        (b'{"image": "m4rk3r', "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"a": "\xc3"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"null", "not a JSON object"),
        (b'"m4rk3r"', "not a JSON object"),
        (b"5", "not a JSON object"),
        (b"[{}]", "not a JSON object"),
        (b" " * MAX_MESSAGE_BYTES + b"{}", "larger than 16 MiB"),
    ],
)
def test_what_is_not_an_object_is_unreadable(body: bytes, why: str) -> None:
    """The text says why and never what."""
    with pytest.raises(Unreadable, match=why) as unreadable:
        open_envelope(body, PLAIN, {}, None)
    assert MARKER not in str(unreadable.value)
    assert unreadable.value.__suppress_context__ or unreadable.value.__context__ is None


@pytest.mark.parametrize("body", ["é", "é".encode(), bytearray("é".encode()), memoryview("é".encode())])
def test_a_body_is_its_bytes(body: object) -> None:
    """The broker's library gives text or bytes, whatever the content type says."""
    assert body_bytes(body) == "é".encode()


@pytest.mark.parametrize("body", [None, 5, {}])
def test_anything_else_is_an_empty_body(body: object) -> None:
    """It is unreadable, not an error."""
    assert body_bytes(body) == b""


@given(
    st.binary(max_size=200),
    st.sampled_from([PLAIN, STRUCTURED, None, ""]),
    st.none() | words,
    st.sampled_from(["reconstruct", *Ask]),
)
def test_no_bytes_break_the_reading(body: bytes, content_type: str | None, message_id: str | None, key: str) -> None:
    """Whatever comes is a request, an ask or unreadable."""
    with suppress(Unreadable):
        assert isinstance(open_envelope(body, content_type, {}, message_id, key).derived_id, UUID)


@given(
    json_values,
    st.sampled_from([PLAIN, STRUCTURED]),
    st.dictionaries(st.sampled_from(["ce-type", "ce-source", "ce-id", "other"]), json_values, max_size=4),
    st.none() | words,
)
def test_no_json_breaks_the_reading(
    value: object, content_type: str, headers: dict[str, Any], message_id: str | None
) -> None:
    """Whatever JSON comes, in whatever envelope, is a request or unreadable."""
    with suppress(Unreadable):
        opened(value, content_type, headers, message_id)


@given(words, words, st.booleans())
def test_no_name_of_a_cloud_event_breaks_the_reading(source: str, name: str, is_binary: bool) -> None:
    """Whatever an event is called, it is a request or unreadable."""
    with suppress(Unreadable):
        opened_event({"type": REQUESTED, "source": source, "id": name}, is_binary=is_binary)


@pytest.mark.parametrize("message", broken.PLAIN, ids=range(len(broken.PLAIN)))
def test_what_holds_no_request_is_unreadable(message: Broken) -> None:
    """Whatever is wrong with it: its properties, its headers, what is around it, or its body."""
    with pytest.raises(Unreadable) as unreadable:
        open_message(received(message))
    assert str(unreadable.value).startswith(message.why)
    assert SECRET_PROMPT not in str(unreadable.value)
