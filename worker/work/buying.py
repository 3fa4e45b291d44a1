"""Buying: in one statement a job is taken and the intent to pay for it committed, where nothing is against it."""

from dataclasses import replace

from worker.database import purchases, submissions
from worker.database.engine import DatabaseError, single, sqlstate
from worker.database.purchases import Order
from worker.log import bind_contextvars
from worker.rules.job import Job
from worker.rules.lifecycle import Step, Ticket
from worker.work.enclosing import digest_of
from worker.work.ledger import take_back
from worker.work.services import Services


def take_at_once(services: Services, ticket: Ticket, token: str, session: int, *, needs_slot: bool) -> Job | None:
    """Take the ticket's job with the intent to pay for it; None, and nothing written, where anything is against that.

    One whose commit can't be seen is taken back, and comes to nothing if it is yet to come.

    Raises:
        DatabaseError: the job is not taken.
    """
    order = Order(ticket, needs_slot, services.memory.newest)
    with single(services.engine) as connection:
        wanted = purchases.read(connection, order)
    if wanted is None:
        return None
    intent = submissions.intent_of(token, wanted, services.worker_name, session, digest_of(wanted))
    lease = services.settings.run.lease_for(Step.SUBMIT)
    try:
        with single(services.engine) as connection:
            remembered = services.memory.newest  # What others have committed meanwhile has to be there as well.
            job = purchases.take(connection, replace(order, remembered=remembered), wanted, intent, lease)
    except DatabaseError as error:
        take_back(services, ticket, token, may_come=not sqlstate(error))  # Where the server spoke, it is over there.
        raise
    if job:
        bind_contextvars(job_id=job.id)
    return job
