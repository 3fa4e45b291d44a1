"""Begin: a job's row, its files, its event, and the submit that follows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from worker.database import arrivals as repository
from worker.database import outbox, slots
from worker.database.engine import Connection
from worker.database.outbox import Event
from worker.errors import InvalidMessage
from worker.events.payloads import error_payload, job_payload
from worker.rules.lifecycle import NOW, EventType, FollowUp, JobState, Step, Ticket
from worker.work.ends import tell_end
from worker.work.office import Office

FIRST_VERSION = 1

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Accepted:
    """What came of a message: the events to announce, and the message to send next if the job is new."""

    events: Sequence[Event]
    follow_up: FollowUp | None = None


def begin(
    connection: Connection, office: Office, values: Mapping[str, Any], add_files: Callable[[], None]
) -> Accepted | None:
    """Write a job's row, its files and its event; return None where its identity, its key or its place is taken."""
    job_id, metadata, retry_of = values["id"], values["metadata"], values["retry_of"]
    must_wait = bool(office.settings.budget.limit) and slots.has_waiting(connection, office.account)
    waits = {"waits_for": slots.WAITS} if must_wait else {}
    row = {**values, **waits, "state": JobState.ACCEPTED}
    if not repository.add_job(connection, row, NOW if must_wait else office.settings.upkeep.sweep_grace):
        return None
    add_files()
    linked = {"retry_of": retry_of} if retry_of else {}
    event = add_event(connection, EventType.ACCEPTED, job_id, JobState.ACCEPTED, metadata, **linked)
    log.info("job_accepted", job_id=job_id, priority=values["priority"], **linked)
    if repository.is_account_held(connection, office.account) or must_wait:
        return Accepted([event])
    return Accepted([event], FollowUp(Step.SUBMIT, Ticket(job_id, FIRST_VERSION), NOW))


def fail_at_once(connection: Connection, job_id: str, error: InvalidMessage, metadata: Mapping[str, Any]) -> Accepted:
    """Tell of a job that was written as failed: its request can't be run."""
    tell_end(connection, job_id, JobState.FAILED, code=error.code, reason=str(error), field=error.field)
    detail = error_payload(error.code, str(error), error.field)
    return Accepted([add_event(connection, EventType.FAILED, job_id, JobState.FAILED, metadata, **detail)])


def add_event(
    connection: Connection,
    kind: EventType,
    job_id: str,
    state: JobState,
    metadata: Mapping[str, Any],
    **more: Any,
) -> Event:
    """Write an event of a job that no step has changed."""
    return outbox.add(connection, kind, job_id, job_payload(job_id, state, metadata, **more))
