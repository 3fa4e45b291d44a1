"""What callers ask for. Accept: a message becomes a job, a duplicate, a refusal, or a job that failed; and cancel."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

import structlog

from worker.database import Connection, transaction
from worker.errors import InvalidMessage, TransientError
from worker.events import error_payload, job_payload
from worker.failpoints import reach
from worker.lifecycle import CURRENT_EVENT, EventType, FollowUp, JobState, Step, Ticket
from worker.messages import ReconstructionRequest, given_job_id, parse_request, readable_metadata
from worker.outlook import ACCOUNT
from worker.repository import budget, jobs, outbox
from worker.repository import intake as repository
from worker.repository.outbox import Event
from worker.schedule import NOW
from worker.services import Services

FIRST_VERSION = 1

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Accepted:
    """What came of a message: the events to announce, and the message to send next if the job is new."""

    events: Sequence[Event]
    follow_up: FollowUp | None = None


def accept(services: Services, fields: Mapping[str, Any], derived_id: UUID) -> FollowUp | None:
    """Commit what a message asks for and announce it; return the submit to send.

    Safe to run twice because the identity and the key are unique in the database: the second time is a duplicate.

    Raises:
        DatabaseError: nothing was committed; the message must come again.
    """
    job_id = str(given_job_id(fields) or derived_id)
    with structlog.contextvars.bound_contextvars(job_id=job_id):
        reach("accept.taken")
        accepted = _commit(services, fields, job_id)
        reach("accept.recorded")
        services.outbox.announce(accepted.events)
        reach("accept.announced")
        return accepted.follow_up


def _commit(services: Services, fields: Mapping[str, Any], job_id: str) -> Accepted:
    try:
        request = parse_request(fields)
    except InvalidMessage as error:
        with transaction(services.engine) as connection:
            return _reject(connection, services, fields, job_id, error)
    with transaction(services.engine) as connection:
        return _admit(connection, services, request, job_id)


def _admit(connection: Connection, services: Services, request: ReconstructionRequest, job_id: str) -> Accepted:
    values = {
        "id": job_id,
        "state": JobState.ACCEPTED,
        "idempotency_key": request.idempotency_key,
        "fingerprint": request.fingerprint,
        "parameters": request.parameters,
        "metadata": request.metadata,
        "priority": request.priority,
    }
    must_wait = bool(services.settings.sam3d_requests_per_minute) and budget.has_waiting(connection, ACCOUNT)
    values |= {"waits_for": budget.WAITS} if must_wait else {}
    if not repository.add_job(connection, values, NOW if must_wait else services.settings.sam3d_sweep_grace):
        return _duplicate(connection, job_id, request.idempotency_key, request.fingerprint, request.metadata)
    repository.add_inputs(connection, _input_rows(job_id, request))
    event = _event(connection, EventType.ACCEPTED, job_id, JobState.ACCEPTED, request.metadata)
    log.info("job_accepted", priority=request.priority)
    if repository.is_account_held(connection, ACCOUNT) or must_wait:
        return Accepted([event])
    return Accepted([event], FollowUp(Step.SUBMIT, Ticket(job_id, FIRST_VERSION), NOW))


def _input_rows(job_id: str, request: ReconstructionRequest) -> list[dict[str, Any]]:
    return [
        {
            "job_id": job_id,
            "name": name,
            "url": image.url,
            "media_type": image.media_type,
            "bytes": image.size if image.content is not None else None,
            "sha256": image.sha256 if image.content is not None else None,
            "content": image.content,
        }
        for name, image in request.files.items()
    ]


def _duplicate(
    connection: Connection, job_id: str, key: str | None, fingerprint: str, metadata: Mapping[str, Any]
) -> Accepted:
    """Announce what became of the request that is already here, or that this one is another under its name."""
    existing = repository.find_existing(connection, job_id, key)
    if existing is None:  # It was deleted between the two statements: the message comes again.
        raise TransientError("The job that had this identity was deleted just now.")
    if existing.fingerprint != fingerprint:
        name = "job_id" if existing.id == job_id else "idempotency_key"
        sentence = f"`{name}` belongs to a request with another payload; use a new one."
        return _refuse(connection, job_id, existing, InvalidMessage(name, sentence, "conflict"), metadata)
    log.info("job_duplicated", existing_job_id=existing.id, state=existing.state)
    status = job_payload(existing.id, existing.state, existing.metadata)
    events = [_again(connection, CURRENT_EVENT[existing.state], existing.id, status)]
    if existing.id != job_id:
        alias = {**status, "job_id": job_id, "duplicate_of": existing.id}
        events.insert(0, _again(connection, EventType.ACCEPTED, job_id, alias))
    return Accepted(events)


def _again(connection: Connection, kind: EventType, job_id: str, payload: Mapping[str, Any]) -> Event:
    """Announce what was announced before, under the same id, or for the first time."""
    told = outbox.newest(connection, job_id, kind)
    return outbox.announce_again(connection, told) if told else outbox.add(connection, kind, job_id, payload)


def _reject(
    connection: Connection, services: Services, fields: Mapping[str, Any], job_id: str, error: InvalidMessage
) -> Accepted:
    """Record a request that can't be run as a failed job; it does not take the key it named."""
    fingerprint = _raw_fingerprint(fields, job_id)
    key, metadata = fields.get("idempotency_key"), readable_metadata(fields)
    existing = repository.find_existing(connection, job_id, key if _is_key(key) else None)
    values = {
        "id": job_id,
        "state": JobState.FAILED,
        "fingerprint": fingerprint,
        "metadata": metadata,
        "error_code": error.code,
        "error_field": error.field,
        "error_message": str(error),
    }
    if existing is None and not repository.add_job(connection, values, services.settings.sam3d_sweep_grace):
        existing = repository.find_existing(connection, job_id, None)
    if existing and existing.fingerprint == fingerprint:
        return _duplicate(connection, job_id, None, fingerprint, metadata)
    if existing:
        return _refuse(connection, job_id, existing, error, metadata)
    log.info("job_rejected", code=error.code, field=error.field)
    detail = error_payload(error.code, str(error), error.field)
    return Accepted([_event(connection, EventType.FAILED, job_id, JobState.FAILED, metadata, **detail)])


def _raw_fingerprint(fields: Mapping[str, Any], job_id: str) -> str:
    """Return what tells a request that can't be read from another; one too deep to be written is all the same."""
    try:
        text = json.dumps(fields, sort_keys=True, default=str)
    except RecursionError:
        text = job_id
    return sha256(text.encode("utf-8", "replace")).hexdigest()


def _is_key(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= 255 and "\x00" not in key and key.isprintable()


def _refuse(
    connection: Connection,
    job_id: str,
    existing: repository.Existing,
    error: InvalidMessage,
    metadata: Mapping[str, Any],
) -> Accepted:
    """Announce that a message was refused because of a job that stays as it is."""
    log.info("job_refused", code=error.code, field=error.field, existing_job_id=existing.id)
    payload = {
        "job_id": job_id,
        "existing_job_id": existing.id,
        "metadata": dict(metadata),
        **error_payload(error.code, str(error), error.field),
    }
    return Accepted([outbox.add(connection, EventType.REFUSED, job_id, payload)])


def _event(
    connection: Connection,
    kind: EventType,
    job_id: str,
    state: JobState,
    metadata: Mapping[str, Any],
    **more: Any,
) -> Event:
    return outbox.add(connection, kind, job_id, job_payload(job_id, state, metadata, **more))


def cancel(services: Services, job_id: str) -> bool:
    """Give a job up and announce it; return whether it was not final yet. Safe to run twice: then it is final."""
    with transaction(services.engine) as connection:
        job = jobs.cancel(connection, job_id)
        if job is None:
            return False
        event = _event(connection, EventType.CANCELLED, job.id, job.state, job.metadata)
    services.outbox.announce([event])
    return True
