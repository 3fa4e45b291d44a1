"""Asks about a job that is there: how it stands, to cancel it, to retry it. Whoever sent its request is answered.

An answer is no row of ours: the broker keeps the message that asks until it has the answer, so that whoever asks often
fills no table. Who asks about another's job hears what he would hear if there were none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from worker.database import outbox
from worker.database.arrivals import Existing, find_existing
from worker.database.engine import Connection, transaction
from worker.database.outbox import Event
from worker.errors import InvalidMessage, RetryRefused
from worker.events.payloads import error_payload, job_payload
from worker.intake.envelope import Envelope
from worker.intake.request import NOT_BUILT, given_job_id, shown_name
from worker.log import Log, bound_contextvars
from worker.rules.asks import Ask
from worker.rules.lifecycle import CURRENT_EVENT, EventType, FollowUp
from worker.rules.origin import Origin, is_own
from worker.telemetry.failpoints import reach
from worker.work import cancelling, retrying
from worker.work.office import Office

log = Log(__name__)

NOT_BY_MESSAGE = {
    **NOT_BUILT,
    "pay_again": "is not taken by message: a person decides whether to pay again, with `sam3d retry ID --pay-again`",
}
"""Fields of an ask and properties of its message that are refused by name: they would otherwise be ignored."""


@dataclass(frozen=True)
class Done:
    """What was done: the job that the answer is about, and the event that it is, where that does not follow its state.

    ``is_announced``: that event was announced with it, under the job's own correlation id.
    """

    job_id: str
    kind: EventType | None = None
    is_announced: bool = False
    follow_up: FollowUp | None = None


def answer(office: Office, ask: Ask, envelope: Envelope, origin: Origin) -> FollowUp | None:
    """Do what a message asks of a job, and announce how that stands then; return the submit to send.

    Safe to run twice because a job ends once, and what one message asks to retry is retried once.

    Raises:
        DatabaseError, TransientError: nobody heard the answer; the message must come again.
    """
    job_id = str(given_job_id(envelope.fields) or envelope.derived_id)
    with bound_contextvars(job_id=job_id, ask=ask):
        reach("ask.taken")
        try:
            done = _do(office, ask, envelope, origin)
            reach("ask.done")
            _tell(office, done, origin)
        except InvalidMessage as error:
            log.info("ask_refused", code=error.code, field=error.field)
            office.post.tell(_refusal(office, ask, job_id, envelope.derived_id, error, origin.correlation_id))
            return None
        return done.follow_up


def parse_ask(fields: Mapping[str, Any]) -> str:
    """Return the id of the job that is asked about.

    Raises:
        InvalidMessage: names the first field that is wrong and the fix, never its value.
    """
    for name, why in NOT_BY_MESSAGE.items():
        if fields.get(name) is not None:
            raise InvalidMessage(name, f"`{name}` {why}.", "not_supported")
    unknown = next((name for name in fields if name != "job_id"), None)
    if unknown is not None:
        raise InvalidMessage(shown_name(unknown), f"`{shown_name(unknown)}` is not a field of an ask; remove it.")
    if "job_id" not in fields:
        raise InvalidMessage("job_id", "`job_id` is required.")
    job_id = given_job_id(fields)
    if job_id is None:
        raise InvalidMessage("job_id", "`job_id` must be a UUID.")
    return str(job_id)


def _do(office: Office, ask: Ask, envelope: Envelope, origin: Origin) -> Done:
    job_id = parse_ask(envelope.fields)
    with transaction(office.engine) as connection:
        existing = find_existing(connection, job_id, None)
    if existing is None or existing.is_shared or not is_own(origin.source, existing.source):
        raise _unknown()
    done = _DO[ask](office, job_id, envelope.derived_id)
    log.info("ask_done")
    return done


def _unknown() -> InvalidMessage:
    return InvalidMessage("job_id", "No job of this sender's has that `job_id`.", "unknown_job")


def _status(_: Office, job_id: str, __: UUID) -> Done:
    return Done(job_id)


def _cancel(office: Office, job_id: str, _: UUID) -> Done:
    return Done(job_id, is_announced=cancelling.cancel(office, job_id))


def _retry(office: Office, job_id: str, message_id: UUID) -> Done:
    try:
        retried = retrying.retry_for_message(office, job_id, message_id)
    except RetryRefused as error:
        raise InvalidMessage("job_id", str(error), "not_retryable") from None
    return Done(retried.job_id, EventType.ACCEPTED, retried.is_new, retried.follow_up)


_DO: Mapping[Ask, Callable[[Office, str, UUID], Done]] = {
    Ask.STATUS: _status,
    Ask.CANCEL: _cancel,
    Ask.RETRY: _retry,
}
"""What each ask does to a job, which is the asker's own, for a message of this identity."""


def _tell(office: Office, done: Done, origin: Origin) -> None:
    """Announce the event anew, under its own id, with what the asker calls his message."""
    with transaction(office.engine) as connection:
        event = _event(connection, done, find_existing(connection, done.job_id, None))
    called = origin.correlation_id or event.correlation_id
    if not done.is_announced or called != event.correlation_id:
        office.post.tell(replace(event, correlation_id=called))


def _event(connection: Connection, done: Done, existing: Existing | None) -> Event:
    """Find what was announced of a job; what never was is written, once, as for a duplicate."""
    if existing is None:  # It was deleted, as it is old, between two statements.
        raise _unknown()
    kind = done.kind or CURRENT_EVENT[existing.reached]
    told = outbox.newest(connection, existing.id, kind)
    payload = job_payload(existing.id, existing.state, existing.metadata)
    return told or outbox.add(connection, kind, existing.id, payload)


def _refusal(
    office: Office, ask: Ask, job_id: str, message_id: UUID, error: InvalidMessage, correlation_id: str | None
) -> Event:
    """Make the event of an ask that is refused, which tells nothing of the job that it names."""
    payload = {
        "job_id": job_id,
        "message_id": str(message_id),
        "metadata": {},
        "ask": ask,
        **error_payload(error.code, str(error), error.field),
    }
    with transaction(office.engine) as connection:
        return outbox.unwritten(connection, EventType.REFUSED, job_id, payload, correlation_id)
