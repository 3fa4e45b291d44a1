"""Cancel: a job that its caller gives up."""

from collections.abc import Sequence

from worker.database import jobs, outbox, shares
from worker.database.engine import Connection, transaction
from worker.database.outbox import Event
from worker.events.payloads import job_payload
from worker.rules.job import Job
from worker.rules.lifecycle import NOW, EventType, JobState, Trigger
from worker.rules.outcome import Change
from worker.work import shared_runs
from worker.work.ends import tell_end
from worker.work.office import Office


def cancel(office: Office, job_id: str) -> bool:
    """Give a job up and announce it; return whether it was not final yet. Safe to run twice: then it is final."""
    with transaction(office.engine) as connection:
        shares.lock_of(connection, job_id)
        job = jobs.cancel(connection, job_id)
        if job is None:
            return False
        tell_end(connection, job.id, JobState.CANCELLED)
        events = _told(connection, job)
    office.post.announce(events)
    return True


def _told(connection: Connection, job: Job) -> Sequence[Event]:
    """Write the event of a job that was cancelled; of a run that jobs share, an event of each of these."""
    if job.is_shared:
        change = Change(Trigger.CANCELLED, JobState.CANCELLED, NOW)
        return shared_runs.pass_on(connection, job, change, EventType.CANCELLED, ())
    if job.shares:
        return [shared_runs.leave(connection, job, job.shares)]
    return [outbox.add(connection, EventType.CANCELLED, job.id, job_payload(job.id, job.state, job.metadata))]
