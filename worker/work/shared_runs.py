"""Sharing: what becomes of a run that jobs share is told to each of them, in the transaction in which it happens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.database import files, jobs, outbox, shares
from worker.database.engine import Connection
from worker.database.outbox import Event
from worker.database.shares import Sharer
from worker.events.payloads import change_payload
from worker.rules.job import Job
from worker.rules.lifecycle import NOW, EventType, JobState, Trigger
from worker.rules.outcome import Change, Learnt
from worker.work.ends import tell_end

MOST_SHARERS = 500
"""Jobs that wait for one run: their ends are one transaction. The next request that is equal starts another run."""


def pass_on(
    connection: Connection, run: Job, change: Change, kind: EventType, stored: Sequence[Mapping[str, Any]]
) -> Sequence[Event]:
    """Tell the jobs that share a run what became of it; those that wait for it end with it."""
    sharers = shares.waiting(connection, run.id)
    payer = sharers[0].id if sharers else None
    if change.state.is_final:
        _end(connection, run.id, change, sharers, payer)
    return [
        outbox.add(connection, kind, each.id, _payload(run, change, each, stored, pays=each.id == payer))
        for each in sharers
    ]


def _end(connection: Connection, run_id: str, change: Change, sharers: Sequence[Sharer], payer: str | None) -> None:
    shares.end(connection, run_id, sharers, payer)
    shares.copy_outputs(connection, run_id, sharers)
    for each in sharers:
        tell_end(connection, each.id, change.state, shares=run_id)


def join_ended(connection: Connection, run: Job, sharer: Sharer) -> Event:
    """End a job at once that shares a run which succeeded before; it waited for nothing, and costs nothing."""
    missing = shares.missing_of(connection, run.id)
    change = Change(Trigger.STORED, JobState.SUCCEEDED, NOW, Learnt(missing=missing))
    _end(connection, run.id, change, [sharer], None)
    waited = replace(run, submitted_at=None)
    payload = _payload(waited, change, sharer, files.of_job(connection, run.id), pays=False)
    return outbox.add(connection, EventType.SUCCEEDED, sharer.id, payload)


def leave(connection: Connection, job: Job) -> Sequence[Event]:
    """Tell of a job that was cancelled: of a shared run all that wait for it; a run that nobody needs is not made."""
    change = Change(Trigger.CANCELLED, JobState.CANCELLED, NOW)
    tell_end(connection, job.id, JobState.CANCELLED)
    if job.is_shared:
        return pass_on(connection, job, change, EventType.CANCELLED, ())
    if job.shares is None:
        return [outbox.add(connection, EventType.CANCELLED, job.id, change_payload(job, change))]
    run = shares.run(connection, job.shares)
    if run.state is JobState.ACCEPTED:
        drop_unneeded(connection, run)
    payload = {**change_payload(job, change), "shared_run": shared_run(run)}
    return [outbox.add(connection, EventType.CANCELLED, job.id, payload)]


def drop_unneeded(connection: Connection, run: Job) -> bool:
    """Cancel a run that was not submitted and that no job waits for any more; return whether it was."""
    if shares.is_waited_for(connection, run.id):
        return False
    jobs.cancel(connection, run.id)
    tell_end(connection, run.id, JobState.CANCELLED)
    return True


def _payload(
    run: Job, change: Change, sharer: Sharer, stored: Sequence[Mapping[str, Any]], *, pays: bool
) -> dict[str, Any]:
    """Say to one of those who share a run what became of it, and that only one of them pays."""
    payload = change_payload(replace(run, id=sharer.id, metadata=sharer.metadata), change, stored)
    state = change.state if change.state.is_final else JobState.SHARING
    shared = {"state": state, "shared_run": shared_run(run)}
    if "cost" in payload and not pays:
        shared["cost"] = {**payload["cost"], "amount": 0}
    return {**payload, **shared}


def shared_run(run: Job) -> dict[str, Any]:
    """Say which run a job shares."""
    return {"id": run.id, "request_id": run.request_id}
