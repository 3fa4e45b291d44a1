"""Who sent a request, as far as the broker vouches for him, and what the properties of its message ask for.

RabbitMQ takes a message with a ``user_id`` only from that user ("Validated User-ID" in its manual).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

SOURCE = "x-sam3d-source"
"""The header that names the source of a message which was sent on: believed where we are its ``user_id``."""

LONGEST_NAME = 255


@dataclass(frozen=True)
class Origin:
    """Whose a request is, where that is known (empty: nobody says), and what he calls it."""

    source: str = ""
    correlation_id: str | None = None


NOBODY = Origin()


def read_origin(
    headers: Mapping[str, Any], properties: Mapping[str, Any], own_user: str | None, claimed: str = ""
) -> Origin:
    """Read a message's origin; ``claimed`` is the source that a CloudEvent names."""
    source = source_of(headers, properties, own_user) or (f"event {_name_of(claimed)}" if claimed else "")
    return Origin(source, correlation_of(properties))


def correlation_of(properties: Mapping[str, Any]) -> str | None:
    """Return what a sender calls his message, where that can be given back."""
    called = properties.get("correlation_id")
    return called if is_name(called) else None


def _name_of(claimed: str) -> str:
    """Return a source as it is stored: a long one by its digest, as no index holds it."""
    return claimed if len(claimed) <= LONGEST_NAME else f"sha256:{sha256(claimed.encode()).hexdigest()}"


def source_of(headers: Mapping[str, Any], properties: Mapping[str, Any], own_user: str | None) -> str:
    """Return whom the broker vouches for: who sent the message first, where we sent it on.

    Where we don't know our own name we can't vouch for what we send on, so that nobody's is asked after.
    """
    user, marked = properties.get("user_id"), headers.get(SOURCE)
    if own_user is None:
        return ""
    if user == own_user and is_name(marked):
        return str(marked)
    source = f"user {user}"
    return source if is_name(user) and is_name(source) else ""  # What can't be marked is nobody's all along.


def is_own(source: str, owner: str | None) -> bool:
    """Tell whether a job is a source's own, as its idempotency key is.

    One from before sources were asked after (None) may be anybody's; those who don't say who they are share theirs.
    """
    return owner is None or owner == source


def with_properties(
    fields: Mapping[str, Any], properties: Mapping[str, Any], *, is_task: bool, is_ask: bool = False
) -> dict[str, Any]:
    """Return the fields of a request with what its message's properties say, to be honoured or refused by name.

    A priority is that of the request where this names none itself; an ask is answered at once. Celery gives each task a
    ``reply_to`` and waits for a result there, which no task of ours has.
    """
    refused = ("expiration",) if is_task else ("expiration", "reply_to")
    said = {name: each for name in refused if (each := properties.get(name))}
    priority = properties.get("priority")
    has_own = is_ask or "priority" in fields
    wished = {"priority": min(priority, 100)} if type(priority) is int and priority and not has_own else {}
    return {**fields, **wished, **said}


def is_name(value: object) -> bool:
    """Tell whether a property can be stored and shown."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()
