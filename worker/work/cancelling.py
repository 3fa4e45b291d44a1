"""Cancel: a job that its caller gives up."""

from worker.database import jobs, shares
from worker.database.engine import transaction
from worker.work import shared_runs
from worker.work.office import Office


def cancel(office: Office, job_id: str) -> bool:
    """Give a job up and announce it; return whether it was not final yet. Safe to run twice: then it is final."""
    with transaction(office.engine) as connection:
        shares.lock_of(connection, job_id)
        job = jobs.cancel(connection, job_id)
        if job is None:
            return False
        events = shared_runs.leave(connection, job)
    office.post.announce(events)
    return True
