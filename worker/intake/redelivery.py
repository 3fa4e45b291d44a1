"""Requests that came back: which came back because their worker died, and what is told when there are too many."""

import time
from dataclasses import replace
from datetime import timedelta

from kombu.message import Message

from worker.broker.delivery import as_mapping, body_bytes
from worker.broker.quarantine import DELIVERIES
from worker.broker.topology import MAX_DELIVERIES, RECONSTRUCT_TASK
from worker.database import outbox
from worker.database.engine import is_outage, transaction
from worker.errors import TransientError
from worker.events.payloads import error_payload
from worker.intake.admission import is_sent, read_arguments
from worker.intake.envelope import Envelope
from worker.intake.request import derived_job_id, given_job_id, readable_metadata
from worker.log import Log
from worker.rules.asks import asked_by_task
from worker.rules.origin import correlation_of, with_properties
from worker.rules.untrusted import Unreadable
from worker.work.services import Services

COUNTED_BY_BROKER = "x-delivery-count"

LOSS_EXPLAINS = timedelta(seconds=60)
"""How long after a loss of its connection a process takes what comes back for what had been on its way then."""

BROKE = "an error of the service"

log = Log(__name__)


class Losses:
    """Remembers when this process lost its connection to the broker, and lived."""

    def __init__(self) -> None:
        self._last_at: float | None = None

    def note(self) -> None:
        """Say that the connection was lost."""
        self._last_at = time.monotonic()

    @property
    def is_recent(self) -> bool:
        """Whether a message that comes back now need not have killed anybody."""
        return self._last_at is not None and time.monotonic() - self._last_at < LOSS_EXPLAINS.total_seconds()


def comes_again(error: Exception) -> bool:
    """Tell whether what a request met passes by itself, so that it is only put off."""
    return is_outage(error) or isinstance(error, TransientError)


def is_back(message: Message) -> bool:
    """Tell whether a request was given to a worker before, which did not acknowledge it."""
    headers, came = as_mapping(message.headers), as_mapping(message.delivery_info)
    return bool(came.get("redelivered")) and is_sent(headers)


def number_of_deliveries(message: Message, counted_as: str = DELIVERIES) -> int:
    """Return how often a request was sent on its way again."""
    counted = as_mapping(message.headers).get(counted_as)
    return counted if type(counted) is int and counted > 0 else 0


def is_last(message: Message) -> bool:
    """Tell whether the broker would put a message aside by itself, unheard, if it came back once more."""
    is_redelivered = bool(as_mapping(message.delivery_info).get("redelivered"))  # Else the count is a sender's.
    return is_redelivered and number_of_deliveries(message, COUNTED_BY_BROKER) >= MAX_DELIVERIES


def why_given_up(deliveries: int) -> str:
    """Say why a request is put aside."""
    return f"no worker got through with it, {deliveries} times"


def read_request(message: Message) -> Envelope:
    """Read what a Celery message asks for: its fields, those among its properties too, and its derived identity.

    Raises:
        Unreadable: there is neither a request nor an ask in it.
    """
    named = _unread(message)
    args, fields = read_arguments(RECONSTRUCT_TASK, body_bytes(message.body))
    given = {**fields, "args": args} if args else fields
    is_ask = named.ask is not None
    return replace(named, fields=with_properties(given, as_mapping(message.properties), is_task=True, is_ask=is_ask))


def request_of(message: Message) -> Envelope:
    """Read the fields, as far as they can be read, and the derived identity of a Celery message."""
    try:
        return read_request(message)
    except Unreadable:
        return _unread(message)


def _unread(message: Message) -> Envelope:
    headers = as_mapping(message.headers)
    return Envelope({}, derived_job_id("celery", str(headers.get("id"))), ask=asked_by_task(headers.get("task")))


def tell_sender(services: Services, message: Message, envelope: Envelope, why: str) -> None:
    """Announce that a message with a request was put aside; what is wrong with it must not stop who tells."""
    job_id = str(given_job_id(envelope.fields) or envelope.derived_id)
    error = error_payload("put_aside", f"The request was put aside for an operator: {why}.")
    payload = {
        "job_id": job_id,
        "message_id": str(envelope.derived_id),
        "metadata": dict(readable_metadata(envelope.fields)),
        **({"ask": envelope.ask} if envelope.ask else {}),
        **error,
    }
    try:
        with transaction(services.engine) as connection:
            event = outbox.add_refusal(connection, job_id, payload, correlation_of(as_mapping(message.properties)))
    except Exception as error_of_ours:
        log.error("sender_untold", job_id=job_id, reason=type(error_of_ours).__name__, next="see `sam3d dead list`")
        return
    services.post.announce([event])
