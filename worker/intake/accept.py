"""Accept: a message becomes a job, a duplicate, a refusal, or a job that failed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from worker.database import arrivals as repository
from worker.database.engine import Connection, transaction
from worker.errors import InvalidMessage, TransientError
from worker.intake import duplicates
from worker.intake.duplicates import Claim
from worker.intake.fingerprint import raw_fingerprint
from worker.intake.identity import Identity, identify
from worker.intake.keeping import Files, files_of
from worker.intake.request import ReconstructionRequest, parse_request, readable_metadata
from worker.intake.sharing import share_key
from worker.log import Log, bound_contextvars
from worker.rules.lifecycle import FollowUp, JobState
from worker.rules.origin import NOBODY, Origin
from worker.telemetry.failpoints import reach
from worker.work.begin import Accepted, begin, begin_alone, fail_at_once, lock_shared
from worker.work.office import Office

log = Log(__name__)


def accept(
    office: Office,
    fields: Mapping[str, Any],
    derived_id: UUID,
    body_age: timedelta | None = None,
    origin: Origin = NOBODY,
) -> FollowUp | None:
    """Commit what a message asks for and announce it; return the submit to send.

    ``body_age`` is given where ``derived_id`` is made of the body alone: how long ago that can have been seen first.
    Safe to run twice because the identity and the key are unique in the database: the second time is a duplicate.

    Raises:
        DatabaseError: nothing was committed; the message must come again.
    """
    identity = identify(fields, derived_id, body_age, origin)
    with bound_contextvars(job_id=identity.job_id):
        reach("accept.taken")
        accepted = _commit(office, fields, identity)
        reach("accept.recorded")
        office.post.follow(accepted.events)
        reach("accept.announced")
        return accepted.follow_up


def _commit(office: Office, fields: Mapping[str, Any], identity: Identity) -> Accepted:
    try:
        request = parse_request(fields)
    except InvalidMessage as error:
        with transaction(office.engine) as connection:
            return _reject(connection, office, fields, identity, error)
    files = files_of(office, request)  # Bytes go between, and only what names them is in the transaction.
    reach("accept.stored")
    key = share_key(request, identity.origin.source) if office.settings.intake.shares_runs else None
    # Nobody else is concerned then, unless somebody has its identity or its key.
    is_alone = key is None and identity.body_id is None
    if is_alone and (begun := begin_alone(office, _values(request, identity, identity.job_id), files)):
        return begun
    with transaction(office.engine) as connection:
        return _admit(connection, office, request, identity, files, key)


def _admit(
    connection: Connection,
    office: Office,
    request: ReconstructionRequest,
    identity: Identity,
    files: Files,
    share: str | None,
) -> Accepted:
    lock_shared(connection, share)
    job_id = _id_of_job(connection, office, identity, has_key=request.idempotency_key is not None)
    claim = Claim(identity, job_id, request.idempotency_key, request.fingerprint, request.metadata)
    last = repository.last_of_key(connection, claim.owned_key) if claim.owned_key else None
    values = {**_values(request, identity, job_id), "retry_of": last, "share_key": share}
    if claim.owned_key and repository.is_everybodys(connection, claim.owned_key):
        return _answer(connection, claim)
    add_files = partial(repository.add_inputs, connection, files=files)
    return begin(connection, office, values, add_files) or _answer(connection, claim)


def _values(request: ReconstructionRequest, identity: Identity, job_id: str) -> dict[str, Any]:
    """Return what a row says of its request alone."""
    return {
        "id": job_id,
        "body_id": identity.body_id,
        **_of_origin(identity),
        "idempotency_key": request.idempotency_key,
        "fingerprint": request.fingerprint,
        "parameters": request.parameters,
        "metadata": request.metadata,
        "priority": request.priority,
    }


def _id_of_job(connection: Connection, office: Office, identity: Identity, *, has_key: bool) -> str:
    """Return the id that a job of the request has if it is new."""
    if identity.body_id is None or identity.body_age is None:
        return identity.job_id
    counts_for = office.settings.intake.body_identity + identity.body_age
    # A key says when it is free again; a message that came before is no new request for all that.
    is_sent_anew = has_key and not identity.is_told_apart
    return repository.id_for_body(connection, identity.body_id, counts_for, is_sent_anew=is_sent_anew)


def _answer(connection: Connection, claim: Claim) -> Accepted:
    existing = repository.find_existing(connection, claim.job_id, claim.owned_key, claim.identity.body_id)
    if existing is None:  # It gave its key back, or was deleted, between the two statements.
        raise TransientError("The job that had this identity or key gave it up just now.")
    return Accepted(duplicates.answer(connection, claim, existing))


def _reject(
    connection: Connection, office: Office, fields: Mapping[str, Any], identity: Identity, error: InvalidMessage
) -> Accepted:
    """Record a request that can't be run as a failed job; it does not take the key it named."""
    job_id, key = _id_of_job(connection, office, identity, has_key=False), fields.get("idempotency_key")
    fingerprint = raw_fingerprint(fields, identity.job_id)
    claim = Claim(identity, job_id, key if _is_key(key) else None, fingerprint, readable_metadata(fields))
    existing = repository.find_existing(connection, job_id, claim.owned_key, identity.body_id)
    values = {
        "id": job_id,
        "body_id": identity.body_id,
        "state": JobState.FAILED,
        **_of_origin(identity),
        "fingerprint": fingerprint,
        "metadata": claim.metadata,
        "error_code": error.code,
        "error_field": error.field,
        "error_message": str(error),
    }
    if existing is None and not repository.add_job(connection, values, office.settings.upkeep.sweep_grace):
        return _answer(connection, replace(claim, key=None))
    if existing and existing.fingerprint == fingerprint:
        return Accepted(duplicates.answer(connection, claim, existing))
    if existing:
        return Accepted(duplicates.refuse(connection, claim, existing, error))
    return fail_at_once(connection, job_id, error, claim.metadata)


def _of_origin(identity: Identity) -> dict[str, Any]:
    return {"source": identity.origin.source, "correlation_id": identity.origin.correlation_id}


def _is_key(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= 255 and "\x00" not in key and key.isprintable()
