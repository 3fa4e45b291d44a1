"""Release: the submits that the request budget can carry are sent, where jobs wait for it."""

from worker.database import slots
from worker.database.engine import transaction
from worker.rules.lifecycle import NOW, FollowUp, Step
from worker.rules.retry import SHORTEST_GAP
from worker.work.changes import Settled
from worker.work.services import Services


def release(services: Services) -> Settled:
    """Give slots to the jobs whose turn it is, and return their submits."""
    grace = max(services.settings.upkeep.sweep_grace, SHORTEST_GAP)
    terms = services.outlook.terms()
    with transaction(services.engine) as connection:
        released = slots.release(connection, services.account, terms, grace)
    return [FollowUp(Step.SUBMIT, ticket, NOW) for ticket in released]
