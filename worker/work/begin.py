"""Begin: a job's row, its files, its event, and the submit that follows; or a share in a run that goes on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from worker.database import arrivals as repository
from worker.database import births, outbox, shares, slots
from worker.database.births import Newborn
from worker.database.engine import Connection, single
from worker.database.outbox import Event
from worker.database.shares import Sharer
from worker.errors import InvalidMessage
from worker.events.payloads import error_payload, job_payload
from worker.log import Log
from worker.rules.lifecycle import NOW, EventType, FollowUp, JobState, Step, Ticket
from worker.work import shared_runs
from worker.work.ends import tell_end
from worker.work.office import Office

FIRST_VERSION = 1

log = Log(__name__)


@dataclass(frozen=True)
class Accepted:
    """What came of a message: the events to announce, and the message to send next if the job is new."""

    events: Sequence[Event]
    follow_up: FollowUp | None = None


def lock_shared(connection: Connection, share_key: str | None) -> None:
    """Lock the run that a job may share before any job that shares it, as the end of the run does."""
    if share_key:
        shares.lock(connection, share_key)


def begin_alone(office: Office, values: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> Accepted | None:
    """Commit a job that shares no run, its files and its event, at once; None, and nothing, where others are concerned.

    They are where a job has its identity, or had its key: :func:`begin` tells them apart.
    """
    payload = job_payload(values["id"], JobState.ACCEPTED, values["metadata"])
    what = Newborn(values, files, payload, is_limited=bool(office.settings.budget.limit))
    with single(office.engine) as connection:
        born = births.add(connection, what, office.account, office.settings.upkeep.sweep_grace)
    if born is None:
        return None
    log.info("job_accepted", job_id=values["id"], priority=values["priority"])
    return Accepted([born.event], None if born.waits else _submit(values["id"]))


def begin(
    connection: Connection, office: Office, values: Mapping[str, Any], add_files: Callable[[str], None]
) -> Accepted | None:
    """Write a job's row, its files and its event; return None where its identity, its key or its place is taken.

    ``values`` has a ``share_key`` where the job may share a run. ``add_files`` writes the files of a row.
    """
    if values["share_key"]:
        return _join(connection, office, values, add_files)
    driven = _drive(connection, office, values, add_files)
    if driven is None:
        return None
    return Accepted([_announced(connection, JobState.ACCEPTED, values)], driven.follow_up)


def _drive(
    connection: Connection, office: Office, values: Mapping[str, Any], add_files: Callable[[str], None]
) -> Accepted | None:
    """Write a row that makes a run, with its files; return None where its identity, its key or its place is taken."""
    must_wait = bool(office.settings.budget.limit) and slots.has_waiting(connection, office.account)
    waits = {"waits_for": slots.WAITS} if must_wait else {}
    row = {**values, **waits, "state": JobState.ACCEPTED}
    if not repository.add_job(connection, row, NOW if must_wait else office.settings.upkeep.sweep_grace):
        return None
    add_files(values["id"])
    if repository.is_account_held(connection, office.account) or must_wait:
        return Accepted([])
    return Accepted([], _submit(values["id"]))


def _submit(job_id: str) -> FollowUp:
    return FollowUp(Step.SUBMIT, Ticket(job_id, FIRST_VERSION), NOW)


def _join(
    connection: Connection, office: Office, values: Mapping[str, Any], add_files: Callable[[str], None]
) -> Accepted | None:
    """Write a job that shares the run of all that are equal, and that run where there is none."""
    found = shared_runs.find_run(connection, values["share_key"])
    run_id = found or str(uuid4())
    row = {**values, "state": JobState.SHARING, "shares": run_id, "waits_for": "the run that it shares"}
    if not repository.add_job(connection, row, office.settings.upkeep.sweep_grace):
        return None
    driven = None if found else _drive(connection, office, _of_run(run_id, values), add_files)
    run = shares.run(connection, run_id)
    log.info("run_shared", job_id=values["id"], run=run_id, is_new=found is None)
    events = [_announced(connection, JobState.SHARING, values, shared_run=shared_runs.shared_run(run))]
    events += shared_runs.catch_up(connection, run, [Sharer(values["id"], values["metadata"])])
    shares.hurry(connection, run.id, values["priority"])
    return Accepted(events, driven.follow_up if driven else None)


def _of_run(run_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a run that a job is the first to share: what is asked of the vendor, and nothing of its own."""
    asked = {name: each for name, each in values.items() if name in _ASKED}
    # No request has this fingerprint: whoever sends one under the run's id is refused.
    return {**asked, "id": run_id, "is_shared": True, "fingerprint": values["share_key"], "metadata": {}}


_ASKED = {"account", "source", "parameters", "priority", "share_key"}


def _announced(connection: Connection, state: JobState, values: Mapping[str, Any], **more: Any) -> Event:
    """Tell that a job began."""
    linked = {"retry_of": values["retry_of"]} if values["retry_of"] else {}
    log.info("job_accepted", job_id=values["id"], priority=values["priority"], **linked)
    return add_event(connection, EventType.ACCEPTED, values["id"], state, values["metadata"], **linked, **more)


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
