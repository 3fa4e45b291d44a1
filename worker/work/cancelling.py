"""Cancel: a job that its caller gives up."""

from worker.database import jobs, outbox
from worker.database.engine import transaction
from worker.events.payloads import job_payload
from worker.rules.lifecycle import EventType, JobState
from worker.work.ends import tell_end
from worker.work.office import Office


def cancel(office: Office, job_id: str) -> bool:
    """Give a job up and announce it; return whether it was not final yet. Safe to run twice: then it is final."""
    with transaction(office.engine) as connection:
        job = jobs.cancel(connection, job_id)
        if job is None:
            return False
        event = outbox.add(connection, EventType.CANCELLED, job.id, job_payload(job.id, job.state, job.metadata))
        tell_end(connection, job.id, JobState.CANCELLED)
    office.post.announce([event])
    return True
