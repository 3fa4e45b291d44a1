"""Intent: a submit is written down and committed before its first byte is sent."""

from uuid import uuid4

from worker.database import jobs, lineage, submissions, turns
from worker.database.engine import Connection, DatabaseError, transaction
from worker.database.lineage import Adopted, Intended
from worker.log import bind_contextvars
from worker.rules.job import Job
from worker.rules.lifecycle import Step, Ticket
from worker.work.adopting import give
from worker.work.buying import buy
from worker.work.enclosing import digest_of
from worker.work.ledger import take_back
from worker.work.noticing import is_set_back
from worker.work.services import Services
from worker.work.shared_runs import drop_unneeded


def intend(services: Services, ticket: Ticket) -> Job | None:
    """Take a job, the ticket's or a more important one, and commit the intent to pay for it.

    One whose commit can't be seen is taken back: nothing will be sent for it.

    Raises:
        DatabaseError: the job is not taken.
    """
    token, session = str(uuid4()), services.session.key()
    needs_slot = services.outlook.terms().draws_for(Step.SUBMIT)
    job = buy(services, ticket, token, session, needs_slot=needs_slot)
    job = job or _take_in_turn(services, ticket, token, session, needs_slot=needs_slot)
    services.memory.keep(Intended(token, job.observed_at) if job else None)
    return job


def _take_in_turn(services: Services, ticket: Ticket, token: str, session: int, *, needs_slot: bool) -> Job | None:
    """Take the ticket's job or a more important one, and write the intent, step by step in a transaction."""
    turn, job = ticket, None
    try:
        with transaction(services.engine) as connection:
            # Where the budget decides, the release has chosen.
            for turn in [ticket] if needs_slot else turns.in_line(connection, ticket):
                job = _take(connection, services, turn, token, session, needs_slot=needs_slot)
                if job:
                    break
    except DatabaseError:
        take_back(services, turn, token)
        raise
    return job


def _take(
    connection: Connection, services: Services, ticket: Ticket, token: str, session: int, *, needs_slot: bool
) -> Job | None:
    """Take a job with the intent to pay for it.

    None where the database lacks an intent that this process committed, a lost job of these inputs was paid, or all
    who shared the run gave it up while it could not be submitted.
    """
    if is_set_back(connection, services):
        return None
    lease = services.settings.run.lease_for(Step.SUBMIT)
    job = jobs.take_for_submit(connection, ticket, lease, token, needs_slot=needs_slot)
    if job is None:
        return None
    bind_contextvars(job_id=job.id)
    if job.is_shared and drop_unneeded(connection, job):
        return None
    sent = digest_of(job)
    if run := lineage.take_stray(connection, sent.inputs):
        give(connection, services, job, Adopted(run, sent, job.is_inline, job.is_addressed))
        return None
    submissions.intend(connection, token, job, services.worker_name, session, sent)
    return job
