"""What the sender of a request is told whose identity or key is taken: what became of that job, or that it differs.

A duplicate hears the job's last event again, as an event of its own that is linked to the first: whoever drops events
that he has seen hears it as well. He learns nothing of other senders: who sends other metadata is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4, uuid5

from worker.database import outbox
from worker.database.arrivals import Existing, Key
from worker.database.engine import Connection
from worker.database.outbox import Event
from worker.errors import InvalidMessage
from worker.events.payloads import error_payload, job_payload
from worker.intake.identity import Identity
from worker.log import Log
from worker.rules.lifecycle import CURRENT_EVENT, EventType

MOST_RETELLINGS = 100
"""How many messages hear an event again under an id of their own; of more, all within a minute share one."""

log = Log(__name__)


@dataclass(frozen=True)
class Claim:
    """What a request asks to be: a job of this id and key."""

    identity: Identity
    job_id: str
    key: str | None
    fingerprint: str
    metadata: Mapping[str, Any] = field(repr=False)

    @property
    def owned_key(self) -> Key | None:
        """The key, if it has one, with whose it is."""
        return Key(self.identity.origin.source, self.key) if self.key else None


def answer(connection: Connection, claim: Claim, existing: Existing) -> Sequence[Event]:
    """Announce what became of the request that is already here, or that this one is another under its name."""
    if existing.fingerprint != claim.fingerprint:
        name = "idempotency_key" if claim.key and existing.id != claim.job_id else "job_id"
        sentence = f"`{name}` belongs to a request with another payload; use a new one."
        return refuse(connection, claim, existing, InvalidMessage(name, sentence, "conflict"))
    log.info("job_duplicated", job_id=claim.job_id, existing_job_id=existing.id, state=existing.state)
    status = job_payload(existing.id, existing.state, existing.metadata, duplicate=True)
    current = _told(connection, claim, CURRENT_EVENT[existing.reached], existing.id, status)
    if claim.identity.body_id or existing.id == claim.job_id:  # Nobody knows another name of a body's job.
        return [current]
    alias = {**status, "job_id": claim.job_id, "duplicate_of": existing.id}
    return [_told(connection, claim, EventType.ACCEPTED, claim.job_id, alias), current]


def _told(connection: Connection, claim: Claim, kind: EventType, job_id: str, payload: Mapping[str, Any]) -> Event:
    """Announce what was announced before, or it for the first time."""
    first = outbox.newest(connection, job_id, kind)
    if first is None or first.payload.get("duplicate_of") != payload.get("duplicate_of"):
        return outbox.add(connection, kind, job_id, payload)
    retold = outbox.retellings(connection, first)
    name = _name(claim.identity) if retold.count < MOST_RETELLINGS else retold.minute.isoformat()
    again = {"duplicate": True, "duplicate_of_event": first.id}
    event_id = str(uuid5(UUID(first.id), name))
    return outbox.tell_again(connection, first, event_id, again, claim.identity.origin.correlation_id)


def _name(identity: Identity) -> str:
    """Name the message to be answered: one that comes again is told under the same id."""
    return identity.message_id if identity.is_told_apart else str(uuid4())


def refuse(connection: Connection, claim: Claim, existing: Existing, error: InvalidMessage) -> Sequence[Event]:
    """Announce that a message was refused because of a job that stays as it is."""
    log.info("job_refused", code=error.code, field=error.field, existing_job_id=existing.id)
    payload = {
        "job_id": claim.job_id,
        "message_id": claim.identity.message_id,
        "existing_job_id": existing.id,
        "metadata": dict(claim.metadata),
        **error_payload(error.code, str(error), error.field),
    }
    return [outbox.add_refusal(connection, claim.job_id, payload, claim.identity.origin.correlation_id)]
