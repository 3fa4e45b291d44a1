"""Take: a job whose step is due, under a lease, if the request budget has a slot for it."""

from collections.abc import Callable
from functools import partial

from worker.database import idle_slots, jobs, leases
from worker.database.engine import DatabaseError, single, transaction
from worker.log import Log
from worker.rules.budget import Kind
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, Step, Ticket
from worker.rules.onward import in_one_go
from worker.work import changes
from worker.work.drawing import WAITS_IN, draw
from worker.work.enclosing import enclose
from worker.work.intent import intend
from worker.work.services import Services

log = Log(__name__)


def load(services: Services, step: Step, ticket: Ticket) -> Job | None:
    """Take the job under a lease, if the request budget allows; a submit's intent to pay is committed with it."""
    if step is Step.SUBMIT:
        job = intend(services, ticket)
        return enclose(services, job) if job else None
    terms, state = services.outlook.terms(), WAITS_IN[step]
    if needs_slot := terms.draws_for(step):
        if job := _take(services, step, ticket, partial(idle_slots.take, state=state, kind=Kind(step), terms=terms)):
            return job
        draw(services, step, ticket)
    return _take(services, step, ticket, partial(jobs.take, state=state, needs_slot=needs_slot))


def _take(services: Services, step: Step, ticket: Ticket, take: Callable[..., Job | None]) -> Job | None:
    """Take a job to read its run, in one statement."""
    session = services.session.taken_key()
    try:
        with single(services.engine) as connection:
            lease = services.settings.run.lease_for(*in_one_go(step, services.steps))
            return take(connection, ticket, lease=lease, session=session)
    except DatabaseError:  # It may be taken all the same: the reply was lost.
        changes.persist(partial(free, services, ticket, session), "what was taken")
        raise


def free(services: Services, ticket: Ticket, session: int) -> None:
    """Leave a job to the sweep that this process took by a ticket, without having seen that it did."""
    with transaction(services.engine) as connection:
        if leases.free_job(connection, ticket, session):
            log.warning("job_freed", job_id=ticket.job_id, next="the sweep finds it")


def wait_out(services: Services, step: Step, ticket: Ticket) -> FollowUp | None:
    """Send a ticket that came early round again; drop one that is stale."""
    with single(services.engine) as connection:
        early = jobs.until_due(connection, ticket, WAITS_IN[step])
    log.debug("ticket_stale" if early is None else "ticket_early", step=step, version=ticket.version)
    return None if early is None else FollowUp(step, ticket, early)
