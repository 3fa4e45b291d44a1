"""What is known of a run that is over, where nobody wrote it with the end of its job."""

from sqlalchemy import Connection, func, literal, or_, update

from worker.database.tables import is_live, jobs
from worker.rules.job import Job
from worker.rules.outcome import Learnt

_SAID = ("metrics", "cost", "result")
"""What is known of a run that is over, whatever becomes of its job."""


def note_run(connection: Connection, job: Job, learnt: Learnt) -> None:
    """Write what is known of a job's run that is over where nobody has, though somebody else moved the job on.

    What a run cost that was shared is told by the job that pays for it once the run has ended.
    """
    told = {jobs.c[name]: value for name, value in learnt.columns().items() if name in _SAID}
    known = {column: func.coalesce(column, literal(value, column.type)) for column, value in told.items()}
    if known:
        is_its = (jobs.c.id == job.id, jobs.c.request_id == job.request_id, or_(is_live, ~jobs.c.is_shared))
        connection.execute(update(jobs).where(*is_its).values(known))
