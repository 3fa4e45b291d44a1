"""Probe: a held account is tried, for free where its credits can tell, else with one job that waits for it."""

from collections.abc import Sequence

import structlog

from worker import holding
from worker.budget import Kind
from worker.database import transaction
from worker.errors import AccountHeld, HoldCause, RemoteRequestGone, Sam3dError, TransientError
from worker.lifecycle import FollowUp
from worker.repository import accounts, budget
from worker.repository.accounts import Held
from worker.repository.outbox import Event
from worker.services import Services

LEAST_CREDITS = 0.05
"""USD; the vendor says that a run costs about 0.05 to 0.07."""

log = structlog.get_logger(__name__)


def probe(services: Services) -> Sequence[Event | FollowUp]:
    """Try each held account whose turn it is; return what is to be announced and sent.

    Safe to run twice because an account's turn comes once in an interval.
    """
    with transaction(services.engine) as connection:
        held = accounts.to_probe(connection, services.settings.sam3d_probe_interval)
    return [each for account in held if _is_worth_a_job(services, account) for each in _try(services, account)]


def _is_worth_a_job(services: Services, account: Held) -> bool:
    """Ask for the credits; where they once seemed enough and were not, only a job can tell."""
    if account.cause not in {HoldCause.CREDITS, HoldCause.KEY} or account.is_asked_in_vain:
        return True
    with transaction(services.engine) as connection:
        budget.charge(connection, account.name, Kind.PROBE, services.outlook.terms().slot)
    try:
        balance = services.vendor.credits()
    except Sam3dError as error:
        log.info("account_probed", account=account.name, result=str(error))
        is_refused = isinstance(error, AccountHeld) and error.cause is HoldCause.KEY
        is_away = isinstance(error, TransientError) and not isinstance(error, RemoteRequestGone)  # It has no balance.
        return not (is_refused or is_away)
    is_enough = account.cause is HoldCause.KEY or balance is None or balance >= LEAST_CREDITS
    log.info("account_probed", account=account.name, is_enough=is_enough)
    return is_enough


def _try(services: Services, account: Held) -> Sequence[Event | FollowUp]:
    """Let one job through; where none waits there is nothing that the account would have to be stopped for."""
    with transaction(services.engine) as connection:
        follow_up = accounts.let_one_through(connection, account.name)
        if follow_up is None:
            return holding.resume(connection, account.name, but=HoldCause.OPERATOR)
    log.info("account_tried", account=account.name, job_id=follow_up.ticket.job_id)
    return [follow_up]
