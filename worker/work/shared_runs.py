"""Sharing: what becomes of a run that jobs share is told to each of them, in the transaction in which it happens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.database import files, jobs, outbox, shares
from worker.database.engine import Connection
from worker.database.outbox import Event
from worker.database.shares import Sharer
from worker.events.payloads import change_payload, job_payload
from worker.rules.job import Job
from worker.rules.lifecycle import CURRENT_EVENT, NOW, EventType, JobState, Trigger
from worker.rules.outcome import Change, known
from worker.work.ends import tell_end

MOST_SHARERS = 500
"""Jobs that wait for one run: their ends are one transaction. The next request that is equal starts another run."""

Stored = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _News:
    """What became of a run, under which type it is announced, and the files that were made."""

    run: Job
    change: Change
    kind: EventType
    stored: Stored


def find_run(connection: Connection, key: str) -> str | None:
    """Lock the run that an equal request shares, if there is one; one that many wait for is closed to it."""
    run_id = shares.lock(connection, key)
    if run_id and shares.count_waiting(connection, run_id) >= MOST_SHARERS:
        shares.close(connection, [run_id])
        return None
    return run_id


def pass_on(connection: Connection, run: Job, change: Change, kind: EventType, stored: Stored) -> Sequence[Event]:
    """Tell the jobs that wait for a run what became of it; where it ended they end with it, and the first pays."""
    named = replace(run, request_id=known(change.learnt.request_id) or run.request_id)
    sharers = shares.waiting(connection, run.id)
    payer = sharers[0].id if sharers else None
    return _tell(connection, _News(named, change, kind, stored), sharers, payer)


def catch_up(connection: Connection, run: Job, sharers: Sequence[Sharer]) -> Sequence[Event]:
    """Tell jobs that came after others how the run stands that they share; the first pays for what nobody paid yet."""
    kind = CURRENT_EVENT[run.state]
    if kind is EventType.ACCEPTED:
        return ()
    change = Change(Trigger.ANSWERED, run.state, NOW, shares.learnt(connection, run.id))
    stored = files.of_job(connection, run.id) if run.state.is_final else ()
    payer = sharers[0].id if known(change.learnt.cost) is not None else None
    waited = replace(run, submitted_at=None)  # They have not waited since then.
    return _tell(connection, _News(waited, change, kind, stored), sharers, payer)


def _tell(connection: Connection, news: _News, sharers: Sequence[Sharer], payer: str | None) -> Sequence[Event]:
    state = news.change.state
    if state.is_final:
        shares.end(connection, news.run.id, sharers, payer)
        for each in sharers:
            tell_end(connection, each.id, state, shares=news.run.id)
    payloads = {each.id: _payload(news, each, pays=each.id == payer) for each in sharers}
    return [outbox.add(connection, news.kind, job_id, payload) for job_id, payload in payloads.items()]


def _payload(news: _News, sharer: Sharer, *, pays: bool) -> dict[str, Any]:
    """Say to one of those who share a run what became of it, and that only one of them pays."""
    its = replace(news.run, id=sharer.id, metadata=sharer.metadata)
    payload = change_payload(its, news.change, news.stored)
    state = news.change.state if news.change.state.is_final else JobState.SHARING
    free = {"cost": {**payload["cost"], "amount": 0}} if "cost" in payload and not pays else {}
    return {**payload, **free, "state": state, "shared_run": shared_run(news.run)}


def shared_run(run: Job) -> dict[str, Any]:
    """Say which run a job shares."""
    return {"id": run.id, "request_id": run.request_id}


def leave(connection: Connection, job: Job, run_id: str) -> Event:
    """Tell of a job that was cancelled; the run that it shared goes on for others, and is not made for nobody."""
    run = shares.run(connection, run_id)
    if run.state is JobState.ACCEPTED:
        drop_unneeded(connection, run)
    payload = job_payload(job.id, JobState.CANCELLED, job.metadata, shared_run=shared_run(run))
    return outbox.add(connection, EventType.CANCELLED, job.id, payload)


def drop_unneeded(connection: Connection, run: Job) -> bool:
    """Cancel a run that was not submitted and that no job waits for any more; return whether it was."""
    if shares.count_waiting(connection, run.id):
        return False
    jobs.cancel(connection, run.id)
    tell_end(connection, run.id, JobState.CANCELLED)
    return True
