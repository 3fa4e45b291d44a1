"""Buying: in one statement a job is taken and the intent to pay for it committed, where nothing is against it."""

from dataclasses import replace

from worker.database import idle_slots, purchases, submissions
from worker.database.engine import DatabaseError, single, sqlstate
from worker.database.purchases import Order, Permit
from worker.log import bind_contextvars
from worker.rules.job import Job
from worker.rules.lifecycle import Step, Ticket
from worker.work.drawing import draw
from worker.work.enclosing import digest_of
from worker.work.ledger import take_back
from worker.work.services import Services


def buy(services: Services, ticket: Ticket, token: str, session: int, *, needs_slot: bool) -> Job | None:
    """Take the ticket's job at once, by what lets it go; one that needs a slot which is not due yet draws it before."""
    if not needs_slot:
        return take_at_once(services, ticket, token, session, Permit.TURN)
    if job := take_at_once(services, ticket, token, session, Permit.NEXT_SLOT):
        return job
    draw(services, Step.SUBMIT, ticket)
    return take_at_once(services, ticket, token, session, Permit.SLOT)


def take_at_once(services: Services, ticket: Ticket, token: str, session: int, permit: Permit) -> Job | None:
    """Take the ticket's job with the intent to pay for it; None, and nothing written, where anything is against that.

    One whose commit can't be seen is taken back, and comes to nothing if it is yet to come.

    Raises:
        DatabaseError: the job is not taken.
    """
    outlook, terms = services.outlook, services.outlook.terms()
    drawing = idle_slots.drawing(terms, outlook.margin(terms)) if permit is Permit.NEXT_SLOT else {}
    order = Order(ticket, permit, services.memory.newest, drawing)
    with single(services.engine) as connection:
        wanted = purchases.read(connection, order)
    if wanted is None:
        return None
    intent = submissions.intent_of(token, wanted, services.worker_name, session, digest_of(wanted))
    lease = services.settings.run.lease_for(Step.SUBMIT)
    try:
        with single(services.engine) as connection:
            remembered = services.memory.newest  # What others have committed meanwhile has to be there as well.
            bought = purchases.take(connection, replace(order, remembered=remembered), wanted, intent, lease)
    except DatabaseError as error:
        take_back(services, ticket, token, may_come=not sqlstate(error))  # Where the server spoke, it is over there.
        raise
    if bought is None:
        return None
    bind_contextvars(job_id=bought.job.id)
    if bought.margin:
        outlook.keep_margin(terms, bought.margin)
    return bought.job
