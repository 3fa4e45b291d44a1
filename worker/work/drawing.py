"""Draw: a step's request gets a slot of the request budget, or its job waits for one."""

from worker.database import idle_slots, slots
from worker.database.engine import DatabaseError, describe, single, transaction
from worker.log import Log
from worker.rules.budget import Kind
from worker.rules.job import Job
from worker.rules.lifecycle import DRIVEN_BY, Step, Ticket
from worker.work.services import Services

log = Log(__name__)

WAITS_IN = {step: state for state, step in DRIVEN_BY.items() if step}
"""The state in which a job waits for a step."""


def draw(services: Services, step: Step, ticket: Ticket) -> None:
    """Draw a slot for a step's request that needs one."""
    terms, grace = services.outlook.terms(), services.settings.upkeep.sweep_grace
    with transaction(services.engine) as connection:
        slots.draw(connection, ticket, step, WAITS_IN[step], terms, grace)


def draw_at_once(services: Services, job: Job, step: Step) -> bool:
    """Draw a slot for a read of a job that this worker has, if one is due; return whether the read can be made.

    Safe to run twice because a slot that nobody uses is only lost. Without the database nothing is drawn: what is in
    hand has to be committed first.
    """
    terms = services.outlook.terms()
    if not terms.draws_for(step):
        return True
    try:
        with single(services.engine) as connection:
            return idle_slots.use(connection, job.account, Kind(step), terms)
    except DatabaseError as error:
        log.warning("slot_not_drawn", reason=describe(error), next="the read waits for its message")
        return False
