"""A message as the broker delivered it: what it holds, and by what way it came."""

from collections.abc import Mapping
from typing import Any

from kombu.message import Message

from worker.broker.topology import (
    INBOX,
    INBOX_KEYS,
    RECONSTRUCT_KEY,
    REQUESTS,
    REQUESTS_KEY,
    work_exchange,
)


def body_bytes(body: object) -> bytes:
    """Return the body of a message as it was sent; kombu gives it as text, bytes or nothing."""
    match body:
        case str():
            return body.encode()
        case bytes() | bytearray() | memoryview():
            return bytes(body)
    return b""


def came_by(message: Message) -> tuple[str, str]:
    """Return the exchange and the routing key that a message came by at first."""
    came = as_mapping(message.delivery_info)
    way = str(came.get("exchange") or ""), str(came.get("routing_key") or "")
    return _WAITED.get(way, way)


_WAITED = {
    (work_exchange.name, REQUESTS_KEY): ("", REQUESTS),
    **{(work_exchange.name, again): (INBOX, key) for key, again in INBOX_KEYS.items()},
}
"""How a message comes that had to wait, and how it came before."""


def inbox_key(message: Message) -> str:
    """Return the routing key that a message of the inbox came by at first; what came otherwise is a request."""
    exchange, key = came_by(message)
    return key if exchange == INBOX and key in INBOX_KEYS else RECONSTRUCT_KEY


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return what AMQP calls a table, or nothing where a message has something else."""
    return value if isinstance(value, Mapping) else {}


def as_text(value: object) -> str | None:
    """Return what a message calls something, or None where it has no word for it."""
    return str(value) if value and isinstance(value, str | int) else None
