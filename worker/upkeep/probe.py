"""Probe: a held account is tried, for free where its credits can tell, else with one job that waits for it."""

from collections.abc import Sequence
from uuid import UUID

from worker.database import accounts, slots
from worker.database.accounts import Held
from worker.database.engine import transaction
from worker.database.outbox import Event
from worker.errors import AccountHeld, HoldCause, RemoteRequestGone, Sam3dError, TransientError
from worker.log import Log
from worker.rules.budget import Kind
from worker.rules.lifecycle import FollowUp
from worker.work import holding
from worker.work.services import Services

LEAST_CREDITS = 0.05
"""USD; the vendor says that a run costs about 0.05 to 0.07."""

log = Log(__name__)


def probe(services: Services) -> Sequence[Event | FollowUp]:
    """Try each held account whose turn it is; return what is to be announced and sent.

    Safe to run twice because an account's turn comes once in an interval.
    """
    with transaction(services.engine) as connection:
        held = accounts.to_probe(connection, services.settings.upkeep.probe_interval)
    return [each for account in held if _is_worth_a_job(services, account) for each in _try(services, account)]


def _is_worth_a_job(services: Services, account: Held) -> bool:
    """Ask for the credits; where they once seemed enough and were not, only a job can tell."""
    if account.cause is HoldCause.OUTAGE:
        return _is_up(services, account)
    if account.cause not in {HoldCause.CREDITS, HoldCause.KEY} or account.is_asked_in_vain:
        return True
    _charge(services, account)
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


def _is_up(services: Services, account: Held) -> bool:
    """Look whether the vendor answers at all, which is free: where it does not, a submit would be one more in doubt.

    Where the credits can't be read a run may be: one that it does not know is as good.
    """
    for look in (services.vendor.credits, lambda: services.vendor.status(NO_RUN)):
        _charge(services, account)
        try:
            look()
        except RemoteRequestGone:
            return True
        except TransientError as error:
            log.info("account_probed", account=account.name, result=str(error), next="the next probe")
        except Sam3dError:
            return True
        else:
            return True
    return False


NO_RUN = str(UUID(int=0))


def _charge(services: Services, account: Held) -> None:
    with transaction(services.engine) as connection:
        slots.charge(connection, account.name, Kind.PROBE, services.outlook.terms().slot)


def _try(services: Services, account: Held) -> Sequence[Event | FollowUp]:
    """Let one job through; where none waits there is nothing that the account would have to be stopped for."""
    with transaction(services.engine) as connection:
        follow_up = accounts.let_one_through(connection, account.name)
        if follow_up is None:
            return () if account.is_paused else holding.resume(connection, account.name)
    log.info("account_tried", account=account.name, job_id=follow_up.ticket.job_id)
    return [follow_up]
