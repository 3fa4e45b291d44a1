"""What is around a request or an ask: plain JSON or a CloudEvent, and the identity that each gives it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from uuid import UUID

from kombu.message import Message

from worker.broker.delivery import as_mapping, body_bytes, inbox_key
from worker.broker.frames import UNREADABLE
from worker.broker.topology import RECONSTRUCT_KEY
from worker.intake.request import derived_job_id
from worker.rules.asks import ASK_TYPES, Ask, asked_by_key
from worker.rules.origin import with_properties
from worker.rules.untrusted import Unreadable, read_object

REQUESTED = "sam3d.reconstruction.requested"

TYPES: Mapping[str, Ask | None] = {REQUESTED: None, **ASK_TYPES}
"""What a CloudEvent of each type that is taken asks; None: it is a request for a new job."""


@dataclass(frozen=True)
class Envelope:
    """The fields of a request, and its identity where it names none itself; ``is_of_body``: nothing else names it.

    ``source`` is what a CloudEvent says of where it is from, ``ask`` what is asked of a job that is there.
    """

    fields: Mapping[str, Any] = field(repr=False)
    derived_id: UUID
    is_of_body: bool = False
    source: str = field(default="", compare=False)
    ask: Ask | None = None


def open_envelope(
    body: bytes,
    content_type: str | None,
    headers: Mapping[str, Any],
    message_id: str | None,
    key: str = RECONSTRUCT_KEY,
) -> Envelope:
    """Read a message of the inbox that came by a routing key.

    Raises:
        Unreadable: it is no JSON object within its bounds, or a CloudEvent of another kind.
    """
    value = read_object(body)
    if (content_type or "").startswith("application/cloudevents+json"):
        return _cloud_event(value, value.get("data"), key)
    if "ce-type" in headers:
        return _cloud_event({name.removeprefix("ce-"): each for name, each in headers.items()}, value, key)
    ask = asked_by_key(key)
    if message_id:
        return Envelope(value, derived_job_id("amqp", message_id), ask=ask)
    return Envelope(value, derived_job_id("body", sha256(body).hexdigest()), is_of_body=True, ask=ask)


def _cloud_event(attributes: Mapping[str, Any], content: object, key: str) -> Envelope:
    kind, source, name = (attributes.get(each) for each in ("type", "source", "id"))
    if not isinstance(kind, str) or kind not in TYPES:
        raise Unreadable(f"the CloudEvent's type is not {' or '.join(TYPES)}")
    if key != RECONSTRUCT_KEY and TYPES[kind] is not asked_by_key(key):
        raise Unreadable("the CloudEvent's type is not that of its routing key")
    if not (isinstance(source, str) and isinstance(name, str) and _is_text(source) and _is_text(name)):
        raise Unreadable("the CloudEvent has no source or no id")
    if not isinstance(content, dict):
        raise Unreadable("the CloudEvent's data is not a JSON object")
    return Envelope(content, derived_job_id("cloudevent", source, name), source=source, ask=TYPES[kind])


def _is_text(value: str) -> bool:
    """Tell whether a name is there and is valid Unicode, which JSON does not promise."""
    return bool(value) and value.isprintable()


def open_message(message: Message) -> Envelope:
    """Read the fields of a request or an ask, those among its message's properties too.

    Raises:
        Unreadable: there is neither in it.
    """
    headers, properties = as_mapping(message.headers), as_mapping(message.properties)
    if UNREADABLE in headers:
        raise Unreadable(headers[UNREADABLE])
    name, key = properties.get("message_id"), inbox_key(message)
    opened = open_envelope(body_bytes(message.body), message.content_type, headers, name, key)
    is_ask = opened.ask is not None
    return replace(opened, fields=with_properties(opened.fields, properties, is_task=False, is_ask=is_ask))
