"""Where messages go that nobody can read: to ``sam3d.dead``, as they came, with the reason.

No message is acknowledged before the broker has confirmed its copy.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any

from amqp.exceptions import PreconditionFailed
from amqp.serialization import dumps
from kombu.message import Message
from kombu.pools import ProducerPool

from worker.broker.delivery import as_mapping, as_text, body_bytes, came_by, inbox_key
from worker.broker.frames import UNREADABLE
from worker.broker.login import ask_again, user_of
from worker.broker.publishing import Unroutable, publish
from worker.broker.topology import DEAD, INBOX_KEYS, PUBLISH_ERRORS
from worker.errors import TransientError
from worker.log import Log
from worker.rules.origin import SOURCE, Origin, read_origin, source_of

REASON = "x-sam3d-reason"
EXCHANGE = "x-sam3d-exchange"
KEY = "x-sam3d-key"
DELIVERIES = "x-sam3d-deliveries"
"""Our count, for the queue of requests, which counts nothing as it is what any Celery producer declares."""
SEEN = "x-sam3d-seen-at"
"""When a message that goes round was seen first, in seconds since 1970: where its body names it, that counts."""

SEEN_BEFORE = timedelta(hours=1)
"""How long ago the broker can have delivered a message first that it delivers again."""

MAX_HEADERS = 100_000
"""Bytes of headers that are sent on: with ours they have to fit into one frame of the protocol, of 128 KiB."""

LONGEST_ID = 64
"""Characters of a task's id that are logged: whoever sends a message chooses it."""

UNSENT = ("CC", "BCC", "X-DEATH", "X-DELIVERY-COUNT", UNREADABLE.upper())
"""Headers by which RabbitMQ sends a message to other queues as well, or says where it has been and how often, which is
its own to say of a copy; and the one by which it is not read.

RabbitMQ 3 believes an ``x-death`` that a sender wrote: it keeps a message for ever, and those behind it, that seems to
go in circles.
"""

CARRIED = (REASON, EXCHANGE, KEY, SEEN, SOURCE, DELIVERIES, "task", "id", "ce-type", "ce-source", "ce-id")
"""What a message keeps of headers that are too large: the marks of ours, and by what it is told what it is."""

LONGEST_CARRIED = 255

KEPT = ("message_id", "correlation_id", "type", "reply_to", "priority", "timestamp", "app_id")
"""Properties that a message keeps wherever it goes; the others would change what the broker does with it."""

log = Log(__name__)


def quarantine(producers: ProducerPool, message: Message, why: str) -> bool:
    """Move a message to the dead letters, then acknowledge it; return whether they have it."""
    return _settled(message, partial(put_aside, producers, message, why))


def put_aside(producers: ProducerPool, message: Message, why: str) -> None:
    """Copy a message to the dead letters; no content is logged.

    Raises:
        PUBLISH_ERRORS: the broker did not take it.
    """
    exchange, routing_key = came_by(message)
    marks = {REASON: why, EXCHANGE: exchange, KEY: routing_key}
    publish_copy(producers, message, _marked(message, marks), "", DEAD)
    log.error(
        "message_quarantined",
        why=why,
        came_from=exchange or routing_key,
        task_id=(as_text(as_mapping(message.headers).get("id")) or "")[:LONGEST_ID],
        letter_id=_future_id(message, marks),
        next="see `sam3d dead show` with the letter's id",
    )


def letter_id(message_id: str | None, task_id: str | None, came: tuple[str, str], body: bytes) -> str:
    """Return a dead letter's name, the same whenever it is looked at; copies of one message share it."""
    digest = sha256(json.dumps([message_id, task_id, *came]).encode("utf-8", "replace"))
    digest.update(body)
    return digest.hexdigest()[:12]


def _future_id(message: Message, marks: Mapping[str, Any]) -> str:
    """Return the name that a message has among the dead letters, where it comes without headers that don't fit."""
    sent = _sendable(_marked(message, marks))
    message_id = as_text(as_mapping(message.properties).get("message_id"))
    return letter_id(message_id, as_text(sent.get("id")), came_by(message), body_bytes(message.body))


def publish_again(
    producers: ProducerPool,
    message: Message,
    *,
    exchange: str,
    routing_key: str,
    marks: Mapping[str, Any] | None = None,
) -> bool:
    """Publish a message elsewhere and acknowledge it, or give it back to the broker; return which."""
    return _settled(message, partial(send_on, producers, message, exchange, routing_key, marks))


def come_again(producers: ProducerPool, message: Message, exchange: str) -> bool:
    """Have a message of the inbox come again as what it was, by way of an exchange; as :func:`publish_again`."""
    return publish_again(producers, message, exchange=exchange, routing_key=INBOX_KEYS[inbox_key(message)])


def send_on(
    producers: ProducerPool,
    message: Message,
    exchange: str,
    routing_key: str,
    marks: Mapping[str, Any] | None = None,
) -> None:
    """Copy a message elsewhere, with the time at which it was seen first; raises as :func:`publish_copy`."""
    publish_copy(producers, message, _marked(message, marks or {}), exchange, routing_key)


def _settled(message: Message, copy: Callable[[], None]) -> bool:
    try:
        copy()
    except PUBLISH_ERRORS as error:
        log.warning("message_given_back", reason=type(error).__name__, next="it comes again in a second")
        time.sleep(1)
        message.requeue()
        return False
    message.ack()
    return True


def _marked(message: Message, marks: Mapping[str, Any]) -> Mapping[str, Any]:
    seen_at = int(time.time() - seen_for(message).total_seconds())
    return {SEEN: seen_at, **as_mapping(message.headers), **marks}


def seen_for(message: Message) -> timedelta:
    """Return how long ago a message can have been seen first: by our mark, and longer if it is redelivered."""
    marked = as_mapping(message.headers).get(SEEN)
    seconds = time.time() - marked if type(marked) is int else 0.0
    age = timedelta(seconds=min(max(seconds, 0.0), LONGEST.total_seconds()))
    return age + (SEEN_BEFORE if as_mapping(message.delivery_info).get("redelivered") else timedelta(0))


LONGEST = timedelta(days=3650)


def publish_copy(
    producers: ProducerPool, message: Message, headers: Mapping[str, Any], exchange: str, routing_key: str
) -> None:
    """Publish what a message holds, under its own identity.

    Raises:
        PUBLISH_ERRORS: the broker did not take it, or has no queue for it.
    """
    own_user = _own_user(producers, message)
    try:
        is_routed = publish(producers, exchange=exchange, routing_key=routing_key, **_copy(message, headers, own_user))
    except PreconditionFailed:
        if own_user is None or ask_again(producers) == own_user:
            raise
        publish_copy(producers, message, headers, exchange, routing_key)  # Nobody's: it must not come again for ever.
    else:
        if not is_routed:
            raise Unroutable


def _copy(message: Message, headers: Mapping[str, Any], own_user: str | None) -> dict[str, Any]:
    properties = as_mapping(message.properties)
    kept = {name: properties[name] for name in KEPT if properties.get(name)}
    if source := source_of(as_mapping(message.headers), properties, own_user):
        # The broker lets nobody say that he is another: we are who says whom it was from.
        headers, kept = {**headers, SOURCE: source}, {**kept, "user_id": own_user}
    return {
        "body": body_bytes(message.body),
        "headers": _sendable(headers),
        "content_type": message.content_type or "application/octet-stream",
        "content_encoding": message.content_encoding or "binary",
        **kept,
    }


def _sendable(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers that can be sent on: they fit into a frame, and send no copy anywhere else."""
    safe = {name: each for name, each in headers.items() if name.upper() not in UNSENT}
    try:
        is_small = len(dumps("F", (safe,))) <= MAX_HEADERS
    except Exception:  # Whatever was read there, it can't be written.
        is_small = False
    return safe if is_small else {name: headers[name] for name in CARRIED if _is_short(headers.get(name))}


def _is_short(value: object) -> bool:
    return type(value) is int or (isinstance(value, str) and len(value) <= LONGEST_CARRIED)


def origin_of(message: Message, producers: ProducerPool, claimed: str = "") -> Origin:
    """Read whose a message is; ``claimed`` is the source that a CloudEvent names.

    Raises:
        TransientError: the broker did not say whom it knows us as; as nobody's it would be another request.
    """
    try:
        own_user = _own_user(producers, message)
    except PUBLISH_ERRORS as error:
        raise TransientError("The broker did not say whether it knows us by the user in its URL.") from error
    return read_origin(as_mapping(message.headers), as_mapping(message.properties), own_user, claimed)


def _own_user(producers: ProducerPool, message: Message) -> str | None:
    """Return whom the broker knows us as, where a message names its sender: else that does not matter."""
    return user_of(producers) if as_mapping(message.properties).get("user_id") else None
